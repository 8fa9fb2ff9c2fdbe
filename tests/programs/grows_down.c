/* A mapping that grows downwards (MAP_GROWSDOWN) still does; so does the stack of a forked child. */
#include "zt_test.h"

#include <sys/mman.h>

#define PAGE 4096UL

static unsigned deep(unsigned levels)
{
	volatile char frame[2048];
	frame[0] = (char)levels;
	frame[2047] = 1;
	return levels ? deep(levels - 1) + (unsigned)frame[2047] : 0;
}

int main(void)
{
	/* It grows into the free room below, up to the gap that is kept to what lies there. */
	char *room = mmap(NULL, 1024 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	zt_check(room != MAP_FAILED);
	zt_must(munmap(room, 1024 * PAGE));
	char *stack = mmap(room + 1016 * PAGE, 8 * PAGE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	zt_check(stack != MAP_FAILED);
	memset(stack, 1, 8 * PAGE);
	for (int i = 1; i < 32; i++)
		stack[-i * (long)PAGE] = (char)i; /* the kernel lets it grow */
	int tell[2];
	zt_must(pipe(tell));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_same(deep(500), 500);
		zt_reads(tell[0], "go");
		for (int i = 1; i < 64; i++)
			stack[-i * (long)PAGE] = (char)i;
		zt_same(deep(2000), 2000);
		_exit(0);
	}

	zt_ready();

	zt_writes(tell[1], "go");
	for (int i = 1; i < 32; i++)
		zt_same(stack[-i * (long)PAGE], (char)i);
	for (int i = 32; i < 100; i++)
		stack[-i * (long)PAGE] = (char)i;
	zt_same(deep(2000), 2000);
	zt_join(child);
	return zt_pass();
}
