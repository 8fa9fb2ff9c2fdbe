/* Very many pages that lie apart, in one mapping: each has its bytes, and those between are zeros. */
#include "zt_test.h"

#include <sys/mman.h>

#define PAGE 4096UL
#define PAGES 40000UL

int main(void)
{
	char *at = mmap(NULL, 2 * PAGES * PAGE, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	zt_check(at != MAP_FAILED);
	zt_must(madvise(at, 2 * PAGES * PAGE, MADV_NOHUGEPAGE));
	for (uint64_t i = 0; i < PAGES; i++)
		memcpy(at + 2 * i * PAGE + i % (PAGE - 8), &i, sizeof i);

	zt_ready();

	for (uint64_t i = 0, found; i < PAGES; i++) {
		memcpy(&found, at + 2 * i * PAGE + i % (PAGE - 8), sizeof found);
		zt_same(found, i);
	}
	/* Nothing was made of what was not there. */
	unsigned char *there = malloc(2 * PAGES);
	zt_check(there != NULL);
	zt_must(mincore(at, 2 * PAGES * PAGE, there));
	for (uint64_t i = 0; i < PAGES; i++)
		zt_same(there[2 * i + 1], 0);
	for (uint64_t i = 0; i < PAGES; i += 99)
		zt_same(at[(2 * i + 1) * PAGE], 0);
	return zt_pass();
}
