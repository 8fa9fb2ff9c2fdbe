/* A signalfd keeps its mask, and reads signals that were pending and that come. */
#include "zt_test.h"

#include <sys/signalfd.h>
#include <sys/uio.h>

int main(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 3);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	int fd = zt_must(signalfd(-1, &set, SFD_NONBLOCK));
	zt_must(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 42}));

	zt_ready();

	struct signalfd_siginfo info;
	zt_same(read(fd, &info, sizeof info), sizeof info);
	zt_same(info.ssi_signo, SIGRTMIN + 3);
	zt_same(info.ssi_int, 42);
	zt_same(info.ssi_pid, getpid());
	zt_check(read(fd, &info, sizeof info) == -1 && errno == EAGAIN);
	zt_must(kill(getpid(), SIGUSR1));
	zt_same(read(fd, &info, sizeof info), sizeof info);
	zt_same(info.ssi_signo, SIGUSR1);
	zt_same(info.ssi_pid, getpid());
	/* Several in one read, and in pieces; also of one that is made only now. */
	struct signalfd_siginfo many[32];
	int late = zt_must(signalfd(-1, &set, SFD_NONBLOCK));
	for (int round = 0; round < 4; round++) {
		pid_t child = zt_must(fork());
		if (child == 0) {
			zt_must(kill(getppid(), SIGUSR1));
			zt_must(kill(getppid(), SIGRTMIN + 3));
			_exit(0);
		}
		zt_join(child);
		zt_must(kill(getpid(), SIGRTMIN + 3));
		memset(many, 0, sizeof many);
		struct iovec pieces[] = {{many, 100}, {(char *)many + 100, 150}, {(char *)many + 250, 1000}};
		int from = round % 2 ? late : fd;
		if (round < 2)
			zt_same(read(from, many, sizeof many), 3 * sizeof *many);
		else
			zt_same(readv(from, pieces, 3), 3 * sizeof *many);
		zt_same(many[0].ssi_signo, SIGUSR1);
		zt_same(many[0].ssi_pid, child);
		zt_same(many[1].ssi_pid, child);
		zt_same(many[2].ssi_pid, getpid());
	}
	return zt_pass();
}
