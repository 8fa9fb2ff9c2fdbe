/* What top and its like do: mostly a file of /proc is open of a process that is not in the pod. A
 * checkpoint waits until it is closed.
 */
#include "zt_test.h"

int main(void)
{
	char name[64];
	zt_say_ready();
	for (int number = 0; number == 0 || !zt_may_go(); number++) {
		int directory = zt_must(open("/proc/1", O_RDONLY | O_DIRECTORY));
		int fd = zt_must(openat(directory, "comm", O_RDONLY));
		zt_sleep_ns(30 * ZT_MS);
		zt_check(read(fd, name, sizeof name) > 0);
		zt_must(close(fd));
		zt_must(close(directory));
		zt_sleep_ns(20 * ZT_MS);
	}
	return zt_pass();
}
