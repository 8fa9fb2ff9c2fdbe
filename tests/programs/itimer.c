/* Interval timers go on with the time that they had left. */
#include "zt_test.h"

#include <sys/time.h>

int main(void)
{
	sigset_t set;
	siginfo_t info;
	struct timespec limit = {5, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	int64_t start = zt_now_ns(CLOCK_MONOTONIC);
	struct itimerval alarm = {.it_value = {0, 700000}};
	zt_must(setitimer(ITIMER_REAL, &alarm, NULL));
	struct itimerval far = {.it_value = {3000, 0}, .it_interval = {5, 0}};
	zt_must(setitimer(ITIMER_VIRTUAL, &far, NULL));

	zt_ready();

	zt_must(getitimer(ITIMER_VIRTUAL, &far));
	zt_check(far.it_value.tv_sec > 2900 && far.it_interval.tv_sec == 5);
	zt_same(sigtimedwait(&set, &info, &limit), SIGALRM);
	zt_check(zt_now_ns(CLOCK_MONOTONIC) - start >= 700 * ZT_MS);
	return zt_pass();
}
