/* Timers on CPU-time clocks whose signal waits to be taken: it tells how often the timer went off meanwhile, of
 * a process and of a thread, real-time or not, by interval and once; and all goings-off are told in the end. */
#include "zt_test.h"

#include <pthread.h>

#define INTERVAL (2 * ZT_MS)
enum { LATE = 60 };

static pthread_barrier_t barrier;

static void burn_until(clockid_t clock, int64_t ns)
{
	while (zt_now_ns(clock) < ns)
		for (volatile int i = 0; i < 10000; i++)
			;
}

static int take(int signal, siginfo_t *info)
{
	sigset_t set;
	struct timespec at_once = {0, 0};
	sigemptyset(&set);
	sigaddset(&set, signal);
	return sigtimedwait(&set, info, &at_once);
}

static timer_t start(clockid_t clock, int how, int signal, int64_t interval, int64_t *first)
{
	struct sigevent event = {.sigev_notify = how, .sigev_signo = signal};
	event._sigev_un._tid = gettid();
	event.sigev_value.sival_int = signal;
	timer_t timer;
	zt_must(timer_create(clock, &event, &timer));
	*first = zt_now_ns(clock) + INTERVAL;
	struct itimerspec spec = {.it_value = {*first / 1000000000, *first % 1000000000},
				  .it_interval = {0, interval}};
	zt_must(timer_settime(timer, TIMER_ABSTIME, &spec, NULL));
	return timer;
}

/* Each time between the first one and now, by one signal or by several. `at`: when that was frozen. */
static void tells(clockid_t clock, timer_t timer, int signal, int64_t first, int64_t at)
{
	siginfo_t info;
	int64_t times = 0;
	for (int i = 0; take(signal, &info) == signal; i++) {
		zt_same(info.si_code, SI_TIMER);
		zt_same(info.si_value.sival_int, signal);
		if (i == 0)
			zt_check(info.si_overrun >= (at - first) / INTERVAL - 1);
		times += 1 + info.si_overrun;
	}
	struct itimerspec stop = {0};
	zt_must(timer_settime(timer, 0, &stop, NULL));
	while (take(signal, &info) == signal)
		times += 1 + info.si_overrun;
	zt_check(times >= (at - first) / INTERVAL);
	zt_check(times <= (zt_now_ns(clock) - first) / INTERVAL + 1);
}

static void *thread(void *unused)
{
	int64_t first;
	timer_t own = start(CLOCK_THREAD_CPUTIME_ID, SIGEV_THREAD_ID, SIGRTMIN + 4, INTERVAL, &first);
	burn_until(CLOCK_THREAD_CPUTIME_ID, first + LATE * INTERVAL);
	int64_t at = zt_now_ns(CLOCK_THREAD_CPUTIME_ID);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	tells(CLOCK_THREAD_CPUTIME_ID, own, SIGRTMIN + 4, first, at);
	return unused;
}

int main(void)
{
	sigset_t all;
	siginfo_t info;
	pthread_t other;
	int64_t first, first_usual, first_once;
	const clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
	sigfillset(&all);
	zt_must(sigprocmask(SIG_BLOCK, &all, NULL));
	zt_same(pthread_barrier_init(&barrier, NULL, 2), 0);
	timer_t real_time = start(clock, SIGEV_SIGNAL, SIGRTMIN + 3, INTERVAL, &first);
	timer_t usual = start(clock, SIGEV_SIGNAL, SIGUSR1, INTERVAL, &first_usual);
	start(clock, SIGEV_SIGNAL, SIGUSR2, 0, &first_once);
	zt_same(pthread_create(&other, NULL, thread, NULL), 0);
	burn_until(clock, first_once + LATE * INTERVAL);
	pthread_barrier_wait(&barrier);
	int64_t at = zt_now_ns(clock);

	zt_ready();

	tells(clock, real_time, SIGRTMIN + 3, first, at);
	tells(clock, usual, SIGUSR1, first_usual, at);
	zt_same(take(SIGUSR2, &info), SIGUSR2);
	zt_same(info.si_code, SI_TIMER);
	zt_same(info.si_overrun, 0);
	zt_same(take(SIGUSR2, &info), -1);
	pthread_barrier_wait(&barrier);
	zt_same(pthread_join(other, NULL), 0);
	return zt_pass();
}
