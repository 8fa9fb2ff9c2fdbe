/* Pipes that have lost all writers, or all readers, stay so; what nobody reads now may be read later. */
#include "zt_test.h"

#include <poll.h>
#include <sys/ioctl.h>

int main(void)
{
	int no_writer[2], no_reader[2], unread;
	char path[32];
	signal(SIGPIPE, SIG_IGN);
	zt_must(pipe(no_writer));
	zt_must(pipe(no_reader));
	zt_writes(no_writer[1], "last words");
	zt_must(close(no_writer[1]));
	zt_writes(no_reader[1], "unread");
	zt_must(close(no_reader[0]));

	zt_ready();

	struct pollfd p = {.fd = no_writer[0], .events = POLLIN};
	zt_same(poll(&p, 1, 0), 1);
	zt_same(p.revents, POLLIN | POLLHUP);
	zt_reads(no_writer[0], "last words");
	zt_reads(no_writer[0], "");
	zt_check(write(no_reader[1], "x", 1) == -1 && errno == EPIPE);
	zt_same(zt_must(ioctl(no_reader[1], FIONREAD, &unread)), 0);
	zt_same(unread, 6);
	snprintf(path, sizeof path, "/proc/self/fd/%d", no_reader[1]);
	zt_reads(zt_must(open(path, O_RDONLY)), "unread");
	return zt_pass();
}
