/* pause, sigsuspend and sigwaitinfo in children: only a signal of the program ends them. */
#include "zt_test.h"

static volatile sig_atomic_t seen;

static void handler(int sig)
{
	seen = sig;
}

int main(void)
{
	struct sigaction action = {.sa_handler = handler};
	sigset_t block, none;
	pid_t child[3];
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	zt_must(sigaction(SIGUSR1, &action, NULL));
	for (int i = 0; i < 3; i++) {
		child[i] = zt_must(fork());
		if (child[i] != 0)
			continue;
		if (i == 0) {
			zt_check(pause() == -1 && errno == EINTR);
		} else if (i == 1) {
			sigset_t now;
			zt_must(sigprocmask(SIG_BLOCK, &block, NULL));
			zt_check(sigsuspend(&none) == -1 && errno == EINTR);
			zt_must(sigprocmask(SIG_BLOCK, NULL, &now));
			zt_same(sigismember(&now, SIGUSR1), 1);
		} else {
			siginfo_t info;
			zt_must(sigprocmask(SIG_BLOCK, &block, NULL));
			zt_same(sigwaitinfo(&block, &info), SIGUSR1);
			zt_same(info.si_pid, getppid());
			seen = SIGUSR1;
		}
		zt_same(seen, SIGUSR1);
		_exit(0);
	}
	zt_sleep_ns(50 * ZT_MS);

	zt_ready();

	zt_sleep_ns(20 * ZT_MS);
	for (int i = 0; i < 3; i++)
		zt_same(waitpid(child[i], NULL, WNOHANG), 0);
	for (int i = 0; i < 3; i++)
		zt_must(kill(child[i], SIGUSR1));
	for (int i = 0; i < 3; i++)
		zt_join(child[i]);
	return zt_pass();
}
