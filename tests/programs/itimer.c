/* Interval timers and timer_create timers go on with the time that they had left. */
#include "zt_test.h"

#include <sys/time.h>

int main(void)
{
	sigset_t set;
	siginfo_t info;
	timer_t soon, late;
	struct timespec limit = {5, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGRTMIN + 2);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	int64_t start = zt_now_ns(CLOCK_MONOTONIC);
	struct itimerval alarm = {.it_value = {0, 700000}};
	zt_must(setitimer(ITIMER_REAL, &alarm, NULL));
	struct itimerval far = {.it_value = {3000, 0}, .it_interval = {5, 0}};
	zt_must(setitimer(ITIMER_VIRTUAL, &far, NULL));
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2,
		.sigev_value.sival_int = 77,
	};
	zt_must(timer_create(CLOCK_MONOTONIC, &event, &soon));
	zt_must(timer_create(CLOCK_MONOTONIC, &event, &late));
	struct itimerspec spec = {.it_value = {0, 800 * ZT_MS}}, now;
	zt_must(timer_settime(soon, 0, &spec, NULL));
	spec.it_value.tv_sec = 3000;
	zt_must(timer_settime(late, 0, &spec, NULL));

	zt_ready();

	zt_must(timer_gettime(late, &now));
	zt_check(now.it_value.tv_sec > 2900 && now.it_value.tv_sec <= 3000);
	zt_must(getitimer(ITIMER_VIRTUAL, &far));
	zt_check(far.it_value.tv_sec > 2900 && far.it_interval.tv_sec == 5);
	for (int i = 0; i < 2; i++) {
		int sig = zt_must(sigtimedwait(&set, &info, &limit));
		int64_t after = zt_now_ns(CLOCK_MONOTONIC) - start;
		if (sig == SIGALRM) {
			zt_check(after >= 700 * ZT_MS);
		} else {
			zt_check(after >= 800 * ZT_MS);
			zt_same(info.si_code, SI_TIMER);
			zt_same(info.si_value.sival_int, 77);
		}
	}
	zt_must(timer_delete(soon));
	zt_must(timer_delete(late));
	return zt_pass();
}
