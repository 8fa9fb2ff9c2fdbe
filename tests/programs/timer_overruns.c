/* POSIX timers whose signal waits to be taken: it comes once, and tells how often the timer went off
 * meanwhile; so does timer_getoverrun(2), also of one that was taken before. */
#include "zt_test.h"

#include <pthread.h>

#define INTERVAL (7 * ZT_MS)
#define LONG_INTERVAL (7200 * 1000 * ZT_MS)
enum { SEEN = 3 };

static int64_t first_ns;
static pthread_barrier_t barrier;

static timer_t make(int signal, int value)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signal};
	event.sigev_value.sival_int = value;
	timer_t timer;
	zt_must(timer_create(CLOCK_MONOTONIC, &event, &timer));
	return timer;
}

static void arm(timer_t timer, int64_t at_ns, int64_t interval_ns)
{
	struct itimerspec spec = {.it_value = {at_ns / 1000000000, at_ns % 1000000000},
				  .it_interval = {interval_ns / 1000000000, interval_ns % 1000000000}};
	zt_must(timer_settime(timer, TIMER_ABSTIME, &spec, NULL));
}

static int take(int signal, siginfo_t *info)
{
	sigset_t set;
	struct timespec at_once = {0, 0};
	sigemptyset(&set);
	sigaddset(&set, signal);
	return sigtimedwait(&set, info, &at_once);
}

static void wait_for(int signal)
{
	sigset_t waiting;
	do
		zt_must(sigpending(&waiting));
	while (!sigismember(&waiting, signal));
}

/* As many as there were between its first time and now; the one that falls into a look at the timer
 * may count for the next signal. */
static void tells_overruns(timer_t timer, int signal, int value)
{
	siginfo_t info;
	int64_t before = zt_now_ns(CLOCK_MONOTONIC);
	zt_same(take(signal, &info), signal);
	int64_t after = zt_now_ns(CLOCK_MONOTONIC);
	zt_same(info.si_code, SI_TIMER);
	zt_same(info.si_value.sival_int, value);
	zt_same(timer_getoverrun(timer), info.si_overrun);
	zt_check(info.si_overrun >= (before - first_ns) / INTERVAL - 1);
	zt_check(info.si_overrun <= (after - first_ns) / INTERVAL);
	struct itimerspec stop = {0};
	zt_must(timer_settime(timer, 0, &stop, NULL));
	take(signal, &info); /* it may have gone off since */
	zt_same(take(signal, &info), -1);
}

/* Its signal was taken, and it goes on. */
static timer_t make_taken(void)
{
	siginfo_t info;
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 4};
	zt_must(timer_create(CLOCK_REALTIME, &event, &timer));
	int64_t now = zt_now_ns(CLOCK_REALTIME);
	arm(timer, now - SEEN * LONG_INTERVAL - LONG_INTERVAL / 2, LONG_INTERVAL);
	while (take(SIGRTMIN + 4, &info) < 0)
		zt_sleep_ns(ZT_MS);
	zt_same(info.si_overrun, SEEN);
	return timer;
}

/* Of a thread, with signals that others sent. */
static void *thread(void *unused)
{
	(void)unused;
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 5};
	event._sigev_un._tid = gettid();
	event.sigev_value.sival_int = 15;
	timer_t timer;
	siginfo_t info;
	zt_must(timer_create(CLOCK_BOOTTIME, &event, &timer));
	union sigval first = {.sival_int = 1};
	zt_same(pthread_sigqueue(pthread_self(), SIGRTMIN + 5, first), 0);
	arm(timer, zt_now_ns(CLOCK_BOOTTIME) - ZT_MS, 0);
	struct itimerspec left;
	do
		zt_must(timer_gettime(timer, &left));
	while (left.it_value.tv_sec || left.it_value.tv_nsec);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	zt_same(take(SIGRTMIN + 5, &info), SIGRTMIN + 5);
	zt_same(info.si_code, SI_QUEUE);
	zt_same(info.si_value.sival_int, 1);
	zt_same(take(SIGRTMIN + 5, &info), SIGRTMIN + 5);
	zt_same(info.si_code, SI_TIMER);
	zt_same(info.si_value.sival_int, 15);
	zt_same(take(SIGRTMIN + 5, &info), -1);
	return NULL;
}

int main(void)
{
	sigset_t all;
	siginfo_t info;
	struct itimerspec left;
	pthread_t other;
	sigfillset(&all);
	zt_must(sigprocmask(SIG_BLOCK, &all, NULL));
	zt_same(pthread_barrier_init(&barrier, NULL, 2), 0);
	zt_same(pthread_create(&other, NULL, thread, NULL), 0);
	timer_t real_time = make(SIGRTMIN + 3, 11), usual = make(SIGUSR1, 12), once = make(SIGUSR2, 13);
	timer_t taken = make_taken();
	first_ns = zt_now_ns(CLOCK_MONOTONIC) - 20 * INTERVAL;
	arm(real_time, first_ns, INTERVAL);
	arm(usual, first_ns, INTERVAL);
	arm(once, first_ns, 0);
	wait_for(SIGRTMIN + 3);
	wait_for(SIGUSR1);
	wait_for(SIGUSR2);
	pthread_barrier_wait(&barrier);

	zt_ready();

	zt_same(timer_getoverrun(taken), SEEN);
	zt_must(timer_gettime(taken, &left));
	zt_check(left.it_value.tv_sec > 0 && left.it_value.tv_sec <= LONG_INTERVAL / 2 / (1000 * ZT_MS));
	tells_overruns(real_time, SIGRTMIN + 3, 11);
	tells_overruns(usual, SIGUSR1, 12);
	zt_must(timer_gettime(once, &left));
	zt_same(left.it_value.tv_sec + left.it_value.tv_nsec, 0);
	zt_same(take(SIGUSR2, &info), SIGUSR2);
	zt_same(info.si_code, SI_TIMER);
	zt_same(info.si_value.sival_int, 13);
	zt_same(info.si_overrun, 0);
	zt_same(timer_getoverrun(once), 0);
	zt_same(take(SIGUSR2, &info), -1);
	pthread_barrier_wait(&barrier);
	zt_same(pthread_join(other, NULL), 0);
	return zt_pass();
}
