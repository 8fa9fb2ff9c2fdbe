/* Pending signals come once, in order, with their siginfo; for the process and for a thread, also such as are
 * ignored where they are not blocked. */
#include "zt_test.h"

#include <pthread.h>
#include <sys/syscall.h>

static void expect(const sigset_t *set, int sig, int code, int value)
{
	siginfo_t info;
	struct timespec none = {0};
	/* The C library's own would call SI_TKILL SI_USER. */
	zt_same(syscall(SYS_rt_sigtimedwait, set, &info, &none, 8), sig);
	zt_same(info.si_code, code);
	zt_same(info.si_pid, getpid());
	zt_same(info.si_uid, getuid());
	if (code == SI_QUEUE)
		zt_same(info.si_value.sival_int, value);
}

int main(void)
{
	sigset_t set, pending;
	struct timespec none = {0};
	sigfillset(&set);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	for (int i = 1; i <= 3; i++)
		zt_must(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}));
	zt_must(sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 9}));
	zt_must(kill(getpid(), SIGUSR1));
	zt_must(kill(getpid(), SIGUSR1));
	zt_same(pthread_kill(pthread_self(), SIGHUP), 0);
	zt_check(signal(SIGURG, SIG_IGN) == SIG_DFL && signal(SIGWINCH, SIG_IGN) == SIG_DFL);
	zt_same(pthread_kill(pthread_self(), SIGURG), 0);
	zt_must(kill(getpid(), SIGWINCH));

	zt_ready();

	zt_must(sigpending(&pending));
	zt_check(sigismember(&pending, SIGUSR1) == 1 && sigismember(&pending, SIGHUP) == 1);
	zt_check(sigismember(&pending, SIGTERM) == 0);
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, SIGHUP);
	expect(&one, SIGHUP, SI_TKILL, 0);
	expect(&set, SIGURG, SI_TKILL, 0);
	expect(&set, SIGUSR1, SI_USER, 0);
	expect(&set, SIGUSR2, SI_QUEUE, 9);
	expect(&set, SIGWINCH, SI_USER, 0);
	for (int i = 1; i <= 3; i++)
		expect(&set, SIGRTMIN + 1, SI_QUEUE, i);
	zt_check(sigtimedwait(&set, NULL, &none) == -1 && errno == EAGAIN);
	return zt_pass();
}
