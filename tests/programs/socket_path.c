/* An O_PATH descriptor of a socket's file leads to the socket that is bound there. */
#include "zt_test.h"

#include <sys/socket.h>
#include <sys/un.h>

int main(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX}, through = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "zt_sock.%d", (int)getpid());
	int listener = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(bind(listener, (struct sockaddr *)&address, sizeof address));
	zt_must(listen(listener, 4));
	int path = zt_must(open(address.sun_path, O_PATH));

	zt_ready();

	struct stat by_fd, by_name;
	zt_must(fstat(path, &by_fd));
	zt_must(stat(address.sun_path, &by_name));
	zt_same(by_fd.st_ino, by_name.st_ino);
	snprintf(through.sun_path, sizeof through.sun_path, "/proc/self/fd/%d", path);
	int client = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(connect(client, (struct sockaddr *)&through, sizeof through));
	int served = zt_must(accept(listener, NULL, NULL));
	zt_writes(client, "hello");
	zt_reads(served, "hello");
	zt_must(unlink(address.sun_path));
	return zt_pass();
}
