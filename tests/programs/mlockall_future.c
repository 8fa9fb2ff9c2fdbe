/* After mlockall(MCL_FUTURE) every new mapping is locked; a child has it not. */
#include "zt_test.h"

#include <sys/mman.h>

enum { PAGE = 4096 };

static long locked_kib(void)
{
	char line[256];
	long kib = -1;
	FILE *file = fopen("/proc/self/status", "r");
	zt_check(file != NULL);
	while (fgets(line, sizeof line, file))
		sscanf(line, "VmLck: %ld", &kib);
	fclose(file);
	return kib;
}

/* How a new mapping is: 0 not locked, 1 locked, 2 locked when it is used. */
static int how_new_ones_are(void)
{
	unsigned char in_core;
	long before = locked_kib();
	char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(at != MAP_FAILED);
	bool locked = locked_kib() > before;
	zt_must(mincore(at, PAGE, &in_core));
	zt_must(munmap(at, PAGE));
	return locked ? (in_core & 1 ? 1 : 2) : 0;
}

int main(void)
{
	locked_kib(); /* its buffers are there now */
	char *before = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(before != MAP_FAILED);
	int tell[2];
	zt_must(pipe(tell));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_must(mlockall(MCL_FUTURE | MCL_ONFAULT));
		zt_writes(tell[1], "x");
		zt_wait_go();
		zt_same(how_new_ones_are(), 2);
		_exit(0);
	}
	zt_reads(tell[0], "x");
	zt_must(mlockall(MCL_FUTURE));
	pid_t other = zt_must(fork());
	if (other == 0) {
		zt_wait_go();
		zt_same(how_new_ones_are(), 0);
		_exit(0);
	}
	zt_ready();

	zt_same(how_new_ones_are(), 1);
	zt_join(other);
	zt_join(child);
	return zt_pass();
}
