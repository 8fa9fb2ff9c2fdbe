/* A handler that interrupted the vDSO returns there: its clock is the pod's all the same. */
#include "zt_test.h"

#include <sys/time.h>

static volatile int64_t last, within;
static volatile sig_atomic_t left = 200;

static void on(int signal)
{
	(void)signal;
	if (--left)
		return;
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	zt_ready();
	within = zt_now_ns(CLOCK_MONOTONIC);
}

int main(void)
{
	const struct itimerval often = {{0, 300}, {0, 300}};
	struct sigaction action = {.sa_handler = on, .sa_flags = SA_RESTART};
	zt_must(sigaction(SIGALRM, &action, NULL));
	zt_must(sigaction(SIGTRAP, &action, NULL));
	zt_must(setitimer(ITIMER_REAL, &often, NULL));
	while (left > 0) {
		int64_t now = zt_now_ns(CLOCK_MONOTONIC);
		zt_check(now >= last);
		last = now;
	}
	zt_check(zt_now_ns(CLOCK_MONOTONIC) >= last);
	zt_check(zt_now_ns(CLOCK_MONOTONIC) >= within);
	struct sigaction trap;
	zt_must(sigaction(SIGTRAP, NULL, &trap));
	zt_check(trap.sa_handler == on);
	return zt_pass();
}
