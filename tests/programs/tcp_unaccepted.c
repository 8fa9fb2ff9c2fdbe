/* Clients that have connected and closed before anybody accepted them do not keep others out. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static struct sockaddr_in at = {.sin_family = AF_INET};

static int client(void)
{
	int fd = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	zt_must(connect(fd, (struct sockaddr *)&at, sizeof at));
	return fd;
}

int main(void)
{
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	socklen_t size = sizeof at;
	int listener = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	zt_must(bind(listener, (struct sockaddr *)&at, size));
	zt_must(getsockname(listener, (struct sockaddr *)&at, &size));
	zt_must(listen(listener, 5));
	for (int i = 0; i < 2; i++)
		zt_must(close(client()));

	zt_ready();

	int last = client();
	zt_writes(last, "x");
	char got = 0;
	while (got != 'x') { /* those who have gone say nothing */
		int fd = zt_must(accept(listener, NULL, NULL));
		zt_must(read(fd, &got, 1));
		zt_must(close(fd));
	}
	return zt_pass();
}
