/* Huge memory of which little is used stays so: holes of shared memory are not filled, and address
 * space that is only reserved costs nothing. */
#include "zt_test.h"

#include <sys/mman.h>

#define MIB (1UL << 20)
#define SHARED (2048 * MIB)
#define RESERVED (1UL << 42)

static long status_kib(const char *key)
{
	char line[256];
	long kib = -1;
	FILE *file = fopen("/proc/self/status", "r");
	zt_check(file != NULL);
	while (kib < 0 && fgets(line, sizeof line, file))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtol(line + strlen(key), NULL, 10);
	fclose(file);
	return kib;
}

static long in_core(char *at, size_t size)
{
	unsigned char *there = malloc(size / 4096);
	zt_check(there != NULL);
	zt_must(mincore(at, size, there));
	long found = 0;
	for (size_t i = 0; i < size / 4096; i++)
		found += there[i] & 1;
	free(there);
	return found;
}

int main(void)
{
	char *shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	zt_check(shared != MAP_FAILED);
	for (size_t at = 0; at < SHARED; at += 64 * MIB)
		strcpy(shared + at, "used");
	zt_must(mprotect(shared + SHARED / 2, SHARED / 2, PROT_NONE));
	char *reserved = mmap(NULL, RESERVED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	zt_check(reserved != MAP_FAILED);
	zt_must(mprotect(reserved + RESERVED / 2, MIB, PROT_READ | PROT_WRITE));
	memset(reserved + RESERVED / 2, 5, MIB);
	zt_must(mprotect(reserved + RESERVED / 2, MIB, PROT_NONE));
	char *unaccounted = mmap(NULL, 64 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(unaccounted != MAP_FAILED);
	long pages = in_core(shared, SHARED), tables = status_kib("VmPTE:");

	zt_ready();

	zt_check(in_core(shared, SHARED) <= pages + 8);
	zt_check(status_kib("RssShmem:") < 16 << 10);
	zt_check(status_kib("RssAnon:") < 64 << 10);
	zt_check(status_kib("VmPTE:") < tables + (4 << 10));
	zt_must(mprotect(shared + SHARED / 2, SHARED / 2, PROT_READ | PROT_WRITE));
	for (size_t at = 0; at < SHARED; at += 64 * MIB) {
		zt_check(strcmp(shared + at, "used") == 0);
		zt_same(shared[at + 32 * MIB], 0);
	}
	zt_must(mprotect(reserved + RESERVED / 2, MIB, PROT_READ));
	for (size_t i = 0; i < MIB; i += 999)
		zt_same(reserved[RESERVED / 2 + i], 5);
	return zt_pass();
}
