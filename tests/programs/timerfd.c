/* Timers that run, wait, have gone off, or are not set. */
#include "zt_test.h"

#include <poll.h>
#include <sys/timerfd.h>

static int timer(clockid_t clock, int flags, int64_t value_ns, int64_t interval_ns)
{
	int fd = zt_must(timerfd_create(clock, TFD_NONBLOCK));
	struct itimerspec spec = {
		.it_value = {value_ns / 1000000000, value_ns % 1000000000},
		.it_interval = {interval_ns / 1000000000, interval_ns % 1000000000},
	};
	zt_must(timerfd_settime(fd, flags, &spec, NULL));
	return fd;
}

int main(void)
{
	uint64_t ticks;
	struct itimerspec now;
	int64_t start = zt_now_ns(CLOCK_MONOTONIC);
	int late = timer(CLOCK_MONOTONIC, 0, 3000 * 1000 * ZT_MS, 0);
	int soon = timer(CLOCK_MONOTONIC, TFD_TIMER_ABSTIME, start + 2500 * ZT_MS, 0);
	int gone = timer(CLOCK_MONOTONIC, 0, 1 * ZT_MS, 0);
	int often = timer(CLOCK_MONOTONIC, 0, 1 * ZT_MS, 3600 * 1000 * ZT_MS);
	int real = timer(CLOCK_REALTIME, 0, 2000 * 1000 * ZT_MS, 0);
	int unset = timer(CLOCK_MONOTONIC, 0, 0, 0);
	zt_sleep_ns(20 * ZT_MS);

	zt_ready();

	zt_must(timerfd_gettime(late, &now));
	zt_check(now.it_value.tv_sec > 2900 && now.it_value.tv_sec < 3000);
	zt_must(timerfd_gettime(real, &now));
	zt_check(now.it_value.tv_sec > 1900 && now.it_value.tv_sec < 2000);
	zt_same(read(gone, &ticks, 8), 8);
	zt_same(ticks, 1);
	zt_check(read(gone, &ticks, 8) == -1 && errno == EAGAIN);
	zt_same(read(often, &ticks, 8), 8);
	zt_same(ticks, 1);
	zt_must(timerfd_gettime(often, &now));
	zt_same(now.it_interval.tv_sec, 3600);
	zt_check(now.it_value.tv_sec >= 3500);
	zt_check(read(unset, &ticks, 8) == -1 && errno == EAGAIN);
	struct pollfd p = {.fd = soon, .events = POLLIN};
	zt_same(poll(&p, 1, 20000), 1);
	zt_check(zt_now_ns(CLOCK_MONOTONIC) - start >= 2500 * ZT_MS);
	return zt_pass();
}
