/* Handlers, their flags and masks, ignored signals, and the blocked mask. */
#include "zt_test.h"

static volatile sig_atomic_t seen;

static void plain(int sig)
{
	seen = sig;
}

static void with_info(int sig, siginfo_t *info, void *context)
{
	(void)context;
	seen = sig * 1000 + info->si_value.sival_int;
}

int main(void)
{
	struct sigaction a = {.sa_handler = plain, .sa_flags = SA_RESTART | SA_NODEFER};
	struct sigaction b = {.sa_sigaction = with_info, .sa_flags = SA_SIGINFO | SA_RESETHAND};
	struct sigaction now;
	sigset_t blocked, was;
	sigaddset(&a.sa_mask, SIGTERM);
	zt_must(sigaction(SIGUSR1, &a, NULL));
	zt_must(sigaction(SIGRTMIN, &b, NULL));
	signal(SIGHUP, SIG_IGN);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGALRM);
	zt_must(sigprocmask(SIG_SETMASK, &blocked, NULL));

	zt_ready();

	zt_must(sigaction(SIGUSR1, NULL, &now));
	zt_check(now.sa_handler == plain);
	zt_same(now.sa_flags & (SA_RESTART | SA_NODEFER | SA_RESETHAND), SA_RESTART | SA_NODEFER);
	zt_same(sigismember(&now.sa_mask, SIGTERM), 1);
	zt_same(sigismember(&now.sa_mask, SIGINT), 0);
	zt_must(sigprocmask(SIG_SETMASK, NULL, &was));
	zt_same(sigismember(&was, SIGALRM), 1);
	zt_same(sigismember(&was, SIGTERM), 0);
	zt_must(raise(SIGHUP));
	zt_must(raise(SIGUSR1));
	zt_same(seen, SIGUSR1);
	zt_must(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 7}));
	zt_same(seen, SIGRTMIN * 1000 + 7);
	zt_must(sigaction(SIGRTMIN, NULL, &now));
	zt_check(now.sa_handler == SIG_DFL);
	return zt_pass();
}
