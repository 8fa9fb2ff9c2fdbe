/* The calls of the vsyscall page tell the time and the processor, also where the kernel has no such page
 * any more. Of a program that began without one nothing is asked. */
#include "zt_test.h"

#include <sys/time.h>

typedef int (*gettimeofday_fn)(struct timeval *, void *);
typedef time_t (*time_fn)(time_t *);
typedef long (*getcpu_fn)(unsigned *, unsigned *, void *);

static const unsigned long PAGE_AT = 0xffffffffff600000;

static bool is_there(void)
{
	char line[256];
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "r");
	zt_check(maps != NULL);
	while (fgets(line, sizeof line, maps))
		found |= strstr(line, "[vsyscall]") != NULL;
	fclose(maps);
	return found;
}

static void ask(void)
{
	struct timeval now = {0}, after = {0};
	struct {
		int minutes, kind;
	} zone = {-1, -1};
	time_t told = 0;
	unsigned cpu = ~0U, node = ~0U;
	zt_same(((gettimeofday_fn)PAGE_AT)(&now, &zone), 0);
	const time_t seconds = ((time_fn)(PAGE_AT + 1024))(&told);
	zt_must(gettimeofday(&after, NULL));
	zt_same(((getcpu_fn)(PAGE_AT + 2048))(&cpu, &node, NULL), 0);
	zt_same(((time_fn)(PAGE_AT + 1024))(NULL) >= seconds, 1);
	zt_same(told, seconds);
	zt_check(now.tv_sec <= seconds + 1 && seconds <= after.tv_sec);
	zt_check(zone.minutes != -1 && cpu != ~0U && node != ~0U);
}

int main(void)
{
	const bool asked = is_there();
	if (asked)
		ask();

	zt_ready();

	if (asked)
		ask();
	return zt_pass();
}
