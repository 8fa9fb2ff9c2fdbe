/* A signalfd keeps its mask, and reads signals that were pending and that come. */
#include "zt_test.h"

#include <sys/signalfd.h>

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
	return zt_pass();
}
