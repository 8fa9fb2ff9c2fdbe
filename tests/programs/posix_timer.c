/* Timers of timer_create(2): their ids, what they signal, and the time that they had left. */
#include "zt_test.h"

int main(void)
{
	sigset_t set;
	siginfo_t info;
	timer_t soon, late, never;
	struct timespec limit = {5, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	int64_t start = zt_now_ns(CLOCK_MONOTONIC);
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2,
		.sigev_value.sival_int = 77,
	};
	zt_must(timer_create(CLOCK_MONOTONIC, &event, &never));
	zt_must(timer_create(CLOCK_MONOTONIC, &event, &soon));
	zt_must(timer_create(CLOCK_REALTIME, &event, &late));
	zt_must(timer_delete(never)); /* leaves a gap in the ids */
	struct itimerspec spec = {.it_value = {0, 800 * ZT_MS}}, now;
	zt_must(timer_settime(soon, 0, &spec, NULL));
	spec = (struct itimerspec){.it_value = {3000, 0}, .it_interval = {7, 0}};
	zt_must(timer_settime(late, 0, &spec, NULL));

	zt_ready();

	zt_must(timer_gettime(late, &now));
	zt_check(now.it_value.tv_sec > 2900 && now.it_value.tv_sec <= 3000);
	zt_same(now.it_interval.tv_sec, 7);
	zt_same(sigtimedwait(&set, &info, &limit), SIGRTMIN + 2);
	zt_check(zt_now_ns(CLOCK_MONOTONIC) - start >= 800 * ZT_MS);
	zt_same(info.si_code, SI_TIMER);
	zt_same(info.si_value.sival_int, 77);
	zt_must(timer_gettime(soon, &now));
	zt_same(now.it_value.tv_sec + now.it_value.tv_nsec, 0);
	zt_must(timer_delete(soon));
	zt_must(timer_delete(late));
	return zt_pass();
}
