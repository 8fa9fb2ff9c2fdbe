/* A child whose pidfd is readable has ended, and can be waited for at once without waiting. */
#include <poll.h>
#include <sys/syscall.h>

#include "zt_test.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum { CHILDREN = 2000, MORE = 200 };

static void await_readable(int pidfd)
{
	struct pollfd end = {.fd = pidfd, .events = POLLIN};
	zt_same(poll(&end, 1, -1), 1);
	zt_same(end.revents & POLLIN, POLLIN);
}

static void make_and_reap(int turn)
{
	int status;
	siginfo_t info = {0};
	pid_t child = zt_must(fork());
	if (child == 0)
		_exit(turn % 100);
	/* With O_NONBLOCK (PIDFD_NONBLOCK) waitid does not wait, though it is not told WNOHANG. */
	bool nonblocking = turn % 4 == 3;
	int pidfd = (int)zt_must(syscall(SYS_pidfd_open, child, nonblocking ? O_NONBLOCK : 0));
	await_readable(pidfd);
	switch (turn % 4) {
	case 0:
		zt_same(waitpid(child, &status, WNOHANG), child);
		zt_same(WEXITSTATUS(status), turn % 100);
		break;
	case 1:
		zt_same(waitpid(-1, &status, WNOHANG), child);
		zt_same(WEXITSTATUS(status), turn % 100);
		break;
	default:
		zt_same(waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | (nonblocking ? 0 : WNOHANG)),
			0);
		zt_same(info.si_pid, child);
		zt_same(info.si_status, turn % 100);
	}
	close(pidfd);
}

int main(void)
{
	for (int i = 0; i < CHILDREN; i++)
		make_and_reap(i);
	zt_ready();
	for (int i = 0; i < MORE; i++)
		make_and_reap(i);
	return zt_pass();
}
