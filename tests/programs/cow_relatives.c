/* Relatives share their memory by copy-on-write: each has its own bytes, and what they had in common
 * before is not there several times over afterwards. */
#include "zt_test.h"

#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 4096, CHILDREN = 4, ROOM = 24 << 10 /* KiB, for everything else */ };

static char *pages; /* shared by all */
static int ask[CHILDREN + 1][2], say[2];

static long rollup(const char *key)
{
	char line[256];
	long kib = -1;
	FILE *file = fopen("/proc/self/smaps_rollup", "r");
	zt_check(file != NULL);
	while (kib < 0 && fgets(line, sizeof line, file))
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtol(line + strlen(key), NULL, 10);
	fclose(file);
	zt_check(kib >= 0);
	return kib;
}

static uint64_t word(unsigned page)
{
	return (page + 1) * 0x9e3779b97f4a7c15ull;
}

static void check_page(unsigned page, uint64_t wanted)
{
	const uint64_t *words = (const uint64_t *)(pages + page * PAGE);
	if (words[0] != wanted || words[PAGE / 8 - 1] != word(page))
		zt_fail("page %u is %#llx ... %#llx", page, (unsigned long long)words[0],
			(unsigned long long)words[PAGE / 8 - 1]);
}

/* What child n did to its copy before; then the same is checked, and its share of memory told. */
static void change(int n)
{
	((uint64_t *)pages)[0] = (uint64_t)n;
	if (n == 1)
		zt_must(munmap(pages + 100 * PAGE, 50 * PAGE));
	if (n == 2) {
		zt_must(mprotect(pages + 200 * PAGE, 50 * PAGE, PROT_READ));
		zt_must(mprotect(pages + 300 * PAGE, 50 * PAGE, PROT_NONE));
	}
	if (n == 3)
		zt_must(madvise(pages + 400 * PAGE, 50 * PAGE, MADV_DONTNEED));
}

static void check(int n)
{
	for (unsigned i = 0; i < PAGES; i++) {
		unsigned char in_core;
		if (n == 1 && i >= 100 && i < 150)
			zt_check(mincore(pages + i * PAGE, PAGE, &in_core) == -1 && errno == ENOMEM);
		else if (n == 2 && i >= 300 && i < 350)
			continue; /* looked at when it may be */
		else if (n == 3 && i >= 400 && i < 450)
			zt_same(((uint64_t *)(pages + i * PAGE))[0], 0);
		else
			check_page(i, i ? word(i) : (uint64_t)n);
	}
	if (n == 2) {
		zt_must(mprotect(pages + 300 * PAGE, 50 * PAGE, PROT_READ));
		for (unsigned i = 300; i < 350; i++)
			check_page(i, word(i));
	}
}

static void answer(int n)
{
	char byte;
	for (int i = 0; i <= CHILDREN; i++)
		close(ask[i][1]);
	zt_writes(say[1], "r");
	while (zt_must(read(ask[n][0], &byte, 1)) == 1) {
		long kib = rollup("Pss:");
		zt_same(write(say[1], &kib, sizeof kib), sizeof kib);
	}
}

static void child(int n)
{
	change(n);
	if (n < CHILDREN - 1) {
		answer(n);
		check(n);
		_exit(0);
	}
	pid_t below = zt_must(fork()); /* shares with its parent, and with all others */
	if (below == 0) {
		((uint64_t *)pages)[0] = 77;
		answer(CHILDREN);
		check_page(0, 77);
		check_page(PAGES - 1, word(PAGES - 1));
		_exit(0);
	}
	answer(n);
	check(n);
	zt_join(below);
	_exit(0);
}

static long sum_of_shares(void)
{
	long sum = rollup("Pss:"), kib;
	for (int i = 0; i <= CHILDREN; i++) {
		zt_same(write(ask[i][1], "?", 1), 1);
		zt_same(read(say[0], &kib, sizeof kib), sizeof kib);
		sum += kib;
	}
	return sum;
}

int main(void)
{
	pid_t children[CHILDREN];
	for (int i = 0; i <= CHILDREN; i++)
		zt_must(pipe(ask[i]));
	zt_must(pipe(say));
	pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(pages != MAP_FAILED);
	for (unsigned i = 0; i < PAGES; i++)
		for (unsigned j = 0; j < PAGE; j += 8)
			*(uint64_t *)(pages + i * PAGE + j) = word(i);
	/* Of these pages only the children have the old ones: */
	char *left = mmap(NULL, 512 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(left != MAP_FAILED);
	memset(left, 5, 512 * PAGE);
	for (int n = 0; n < CHILDREN; n++) {
		children[n] = zt_must(fork());
		if (children[n] == 0)
			child(n);
	}
	memset(left, 6, 512 * PAGE);
	((uint64_t *)pages)[0] = 99;
	for (char byte, i = 0; i <= CHILDREN; i++)
		zt_same(read(say[0], &byte, 1), 1);

	zt_ready();

	long sum = sum_of_shares();
	if (sum > PAGES * PAGE / 1024 + 2 * 512 * 4 + ROOM)
		zt_fail("what was %d KiB and shared takes %ld KiB", PAGES * PAGE / 1024, sum);
	for (int i = 0; i < 512 * PAGE; i += 511)
		zt_same(left[i], 6);
	check_page(0, 99);
	for (unsigned i = 1; i < PAGES; i++)
		check_page(i, word(i));
	for (int i = 0; i <= CHILDREN; i++)
		zt_must(close(ask[i][1]));
	for (int n = 0; n < CHILDREN; n++)
		zt_join(children[n]);
	return zt_pass();
}
