/* Calls that wait for a time go on with the time that was left: not less, and not all over. */
#include "zt_test.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

#define WAIT (2500 * ZT_MS)
#define BEFORE (2000 * ZT_MS)
#define SLACK (1900 * ZT_MS)

static int word;
static int ep;
static const struct timespec wait_time = {WAIT / 1000000000, WAIT % 1000000000};

static void by_nanosleep(void) { zt_same(nanosleep(&wait_time, NULL), 0); }

static void by_clock_nanosleep(void)
{
	zt_same(clock_nanosleep(CLOCK_MONOTONIC, 0, &wait_time, NULL), 0);
}

static void by_clock_nanosleep_until(void)
{
	int64_t end = zt_now_ns(CLOCK_MONOTONIC) + WAIT;
	struct timespec t = {end / 1000000000, end % 1000000000};
	zt_same(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);
}

static void by_poll(void) { zt_same(poll(NULL, 0, WAIT / ZT_MS), 0); }

static void by_ppoll(void) { zt_same(ppoll(NULL, 0, &wait_time, NULL), 0); }

static void by_select(void)
{
	struct timeval t = {WAIT / 1000000000, WAIT % 1000000000 / 1000};
	zt_same(select(0, NULL, NULL, NULL, &t), 0);
}

static void by_pselect(void) { zt_same(pselect(0, NULL, NULL, NULL, &wait_time, NULL), 0); }

static void by_epoll(void)
{
	struct epoll_event event;
	zt_same(epoll_wait(ep, &event, 1, WAIT / ZT_MS), 0);
}

static void by_futex(void)
{
	zt_check(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &wait_time, NULL, 0) == -1 &&
		 errno == ETIMEDOUT);
}

static void by_sigtimedwait(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	zt_check(sigtimedwait(&set, NULL, &wait_time) == -1 && errno == EAGAIN);
}

static void (*const ways[])(void) = {
	by_nanosleep, by_clock_nanosleep, by_clock_nanosleep_until, by_poll, by_ppoll, by_select,
	by_pselect, by_epoll, by_futex, by_sigtimedwait,
};
enum { COUNT = sizeof ways / sizeof *ways };
static int64_t took[COUNT];

static void *work(void *arg)
{
	int i = (int)(intptr_t)arg;
	int64_t start = zt_now_ns(CLOCK_MONOTONIC);
	ways[i]();
	took[i] = zt_now_ns(CLOCK_MONOTONIC) - start;
	return NULL;
}

int main(void)
{
	pthread_t thread[COUNT];
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	ep = zt_must(epoll_create1(0));
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_create(&thread[i], NULL, work, (void *)(intptr_t)i), 0);
	zt_sleep_ns(BEFORE);

	zt_ready();

	for (int i = 0; i < COUNT; i++) {
		zt_same(pthread_join(thread[i], NULL), 0);
		/* poll counts in ms, and epoll and select may end that much early by our clock */
		if (took[i] < WAIT - ZT_MS || took[i] > WAIT + SLACK)
			zt_fail("way %d took %lld ms, not %lld", i, (long long)(took[i] / ZT_MS),
				WAIT / ZT_MS);
	}
	return zt_pass();
}
