/* No clock goes back, and monotonic time does not jump. */
#include "zt_test.h"

#include <sys/sysinfo.h>
#include <sys/time.h>

/* In seconds, and one for what is begun. */
static void check_uptime(void)
{
	enum { SECOND = 1000 * ZT_MS };
	struct sysinfo told;
	const int64_t before = zt_now_ns(CLOCK_BOOTTIME);
	zt_must(sysinfo(&told));
	const int64_t after = zt_now_ns(CLOCK_BOOTTIME);
	zt_check(told.uptime >= (before + SECOND - 1) / SECOND);
	zt_check(told.uptime <= (after + SECOND - 1) / SECOND);
}

int main(void)
{
	static const clockid_t clocks[] = {
		CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME,
		CLOCK_REALTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID,
	};
	enum { COUNT = sizeof clocks / sizeof *clocks };
	int64_t last[COUNT], largest = 0;
	for (int i = 0; i < COUNT; i++)
		last[i] = zt_now_ns(clocks[i]);
	zt_say_ready();
	for (bool go = false; !go;) {
		go = zt_may_go();
		for (int i = 0; i < COUNT; i++) {
			if (i >= 5) /* the kernel's: they count for a process, not for the pod */
				continue;
			int64_t now = zt_now_ns(clocks[i]);
			if (now < last[i])
				zt_fail("clock %d went back by %lld ns", (int)clocks[i],
					(long long)(last[i] - now));
			if (i == 0 && now - last[0] > largest)
				largest = now - last[0];
			last[i] = now;
		}
		zt_sleep_ns(ZT_MS);
	}
	zt_check(largest < 20000 * ZT_MS);
	for (int i = 0; i < 20; i++) { /* through a second */
		check_uptime();
		zt_sleep_ns(50 * ZT_MS);
	}
	return zt_pass();
}
