/* A periodic timer that ticks faster than anyone can look at it. */
#include "zt_test.h"

#include <sys/timerfd.h>

int main(void)
{
	uint64_t ticks;
	struct itimerspec every = {{0, 1}, {0, 1}}, now;
	int fd = zt_must(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
	zt_must(timerfd_settime(fd, 0, &every, NULL));

	zt_ready();

	for (int i = 0; i < 10; i++) {
		zt_same(read(fd, &ticks, sizeof ticks), sizeof ticks);
		zt_check(ticks > 0);
	}
	zt_must(timerfd_gettime(fd, &now));
	zt_same(now.it_interval.tv_sec, 0);
	zt_same(now.it_interval.tv_nsec, 1);
	return zt_pass();
}
