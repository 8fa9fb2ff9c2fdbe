/* Pipes that have lost all writers, or all readers, stay so. */
#include "zt_test.h"

#include <poll.h>

int main(void)
{
	int no_writer[2], no_reader[2];
	signal(SIGPIPE, SIG_IGN);
	zt_must(pipe(no_writer));
	zt_must(pipe(no_reader));
	zt_writes(no_writer[1], "last words");
	zt_must(close(no_writer[1]));
	zt_must(close(no_reader[0]));

	zt_ready();

	struct pollfd p = {.fd = no_writer[0], .events = POLLIN};
	zt_same(poll(&p, 1, 0), 1);
	zt_same(p.revents, POLLIN | POLLHUP);
	zt_reads(no_writer[0], "last words");
	zt_reads(no_writer[0], "");
	zt_check(write(no_reader[1], "x", 1) == -1 && errno == EPIPE);
	return zt_pass();
}
