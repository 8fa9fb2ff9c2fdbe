/* A write that is stopped halfway goes on, in a process that may write and end, and do nothing else. */
#include "zt_seccomp.h"

#include <sys/socket.h>

enum { SIZE = 1 << 21 };
static char buffer[SIZE];

int main(void)
{
	int pair[2];
	size_t got = 0;
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid_t child = zt_must(fork());
	if (!child) {
		zt_no_new_privs();
		memset(buffer, 'x', SIZE);
		zt_must(zt_filter(0, LOAD(nr), UNLESS(SYS_write, 1), RET(SECCOMP_RET_ALLOW), UNLESS(SYS_exit_group, 1),
				  RET(SECCOMP_RET_ALLOW), RET(SECCOMP_RET_KILL_PROCESS)));
		_exit(write(pair[1], buffer, SIZE) == SIZE ? 0 : 1);
	}
	zt_must(close(pair[1]));
	got += (size_t)zt_must(read(pair[0], buffer, 100));

	zt_ready();

	for (ssize_t n; (n = zt_must(read(pair[0], buffer, SIZE)));)
		got += (size_t)n;
	zt_same(got, SIZE);
	zt_join(child);
	return zt_pass();
}
