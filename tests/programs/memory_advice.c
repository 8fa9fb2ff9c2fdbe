/* Advice, locks and seals of mappings are what they were, and bind as they did: VmFlags of
 * /proc/self/smaps before and after, and what the calls answer. */
#include "zt_test.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

enum { PAGE = 4096, PAGES = 8, SIZE = PAGES * PAGE, MOST = 40 };

static struct {
	const char *what;
	char *at;
	char flags[256], after[256];
} maps[MOST];
static int count;

static void flags_of(const char *at, char flags[256])
{
	char line[512];
	bool here = false;
	FILE *file = fopen("/proc/self/smaps", "r");
	zt_check(file != NULL);
	flags[0] = 0;
	while (fgets(line, sizeof line, file)) {
		unsigned long start, end;
		char perms[5];
		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) == 3)
			here = start <= (uintptr_t)at && (uintptr_t)at < end;
		if (here && strncmp(line, "VmFlags:", 8) == 0)
			snprintf(flags, 256, "%.250s", line + 9);
	}
	fclose(file);
}

/* A mapping with a hole on both sides, so that it is one of its own. */
static char *map(const char *what, int prot, int flags)
{
	char *room = mmap(NULL, SIZE + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	zt_check(room != MAP_FAILED);
	zt_must(munmap(room, SIZE + 2 * PAGE));
	char *at = mmap(room + PAGE, SIZE, prot, flags | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	if (at == MAP_FAILED)
		return NULL;
	zt_check(count < MOST);
	maps[count].what = what;
	maps[count++].at = at;
	return at;
}

static char *advised(const char *what, int advice)
{
	char *at = map(what, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	zt_check(at != NULL);
	memset(at, 7, SIZE / 2);
	if (madvise(at, SIZE, advice) && errno != EINVAL) /* a kernel without it */
		zt_fail("madvise %d: %s", advice, strerror(errno));
	return at;
}

int main(void)
{
	advised("sequential", MADV_SEQUENTIAL);
	advised("random", MADV_RANDOM);
	advised("dontfork", MADV_DONTFORK);
	advised("mergeable", MADV_MERGEABLE);
	advised("hugepage", MADV_HUGEPAGE);
	advised("nohugepage", MADV_NOHUGEPAGE);
	advised("dontdump", MADV_DONTDUMP);
	char *wiped = advised("wipeonfork", MADV_WIPEONFORK);
	map("noreserve", PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE);
	map("none", PROT_NONE, MAP_PRIVATE);
	map("never written", PROT_READ, MAP_PRIVATE);
	map("shared", PROT_READ | PROT_WRITE, MAP_SHARED);
	char *was_written = map("was written", PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memset(was_written, 1, PAGE);
	zt_must(mprotect(was_written, SIZE, PROT_READ));
	char *droppable = map("droppable", PROT_READ | PROT_WRITE, MAP_DROPPABLE);
	if (droppable)
		droppable[0] = 9;
	char *locked = map("locked", PROT_READ | PROT_WRITE, MAP_PRIVATE);
	zt_must(mlock(locked, SIZE));
	char *on_fault = map("locked on fault", PROT_READ | PROT_WRITE, MAP_PRIVATE);
	zt_must(mlock2(on_fault, SIZE, MLOCK_ONFAULT));
	on_fault[0] = 1;
	char *locked_none = map("locked without permission", PROT_NONE, MAP_PRIVATE);
	zt_check(mlock(locked_none, SIZE) == -1 && errno == ENOMEM); /* locked all the same */
	char *sealed = map("sealed", PROT_READ | PROT_WRITE, MAP_PRIVATE);
	memset(sealed, 3, SIZE);
	bool can_seal = syscall(SYS_mseal, sealed, (size_t)SIZE, 0) == 0;
	char *sealed_none = map("sealed without permission", PROT_NONE, MAP_PRIVATE);
	if (can_seal)
		zt_must(syscall(SYS_mseal, sealed_none, (size_t)SIZE, 0));
	char path[64];
	int fd = zt_file(path, sizeof path, "advice");
	zt_must(ftruncate(fd, SIZE));
	char *file = mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE, fd, 0);
	zt_check(file != MAP_FAILED);
	zt_must(madvise(file, SIZE, MADV_RANDOM));
	maps[count].what = "file";
	maps[count++].at = file;
	char *data = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	zt_check(data != MAP_FAILED);
	data[PAGE] = 1;
	zt_must(mprotect(data, SIZE, PROT_READ)); /* as relocated read-only data is */
	maps[count].what = "relocated";
	maps[count++].at = data;
	int read_only = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *shared_file = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, read_only, 0);
	zt_check(shared_file != MAP_FAILED);
	maps[count].what = "shared and read only";
	maps[count++].at = shared_file;
	int memory = zt_must(memfd_create("read only", MFD_CLOEXEC));
	zt_must(ftruncate(memory, SIZE));
	char again[64];
	snprintf(again, sizeof again, "/proc/self/fd/%d", memory);
	int reader = zt_must(open(again, O_RDONLY | O_CLOEXEC));
	char *shared_memory = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, reader, 0);
	zt_check(shared_memory != MAP_FAILED);
	zt_must(close(memory));
	zt_must(close(reader));
	maps[count].what = "memory without a path, to be read";
	maps[count++].at = shared_memory;
	for (int i = 0; i < count; i++)
		flags_of(maps[i].at, maps[i].flags);

	zt_ready();

	for (int i = 0; i < count; i++) {
		flags_of(maps[i].at, maps[i].after);
		if (strcmp(maps[i].flags, maps[i].after) != 0)
			zt_fail("%s: was %s is %s", maps[i].what, maps[i].flags, maps[i].after);
	}
	for (int i = 0; i < SIZE; i++)
		zt_same(wiped[i], i < SIZE / 2 ? 7 : 0);
	zt_check(!droppable || droppable[0] == 9 || droppable[0] == 0);
	if (can_seal) {
		zt_check(munmap(sealed, SIZE) == -1 && errno == EPERM);
		zt_check(mprotect(sealed, SIZE, PROT_READ) == -1 && errno == EPERM);
		zt_same(sealed[SIZE - 1], 3);
		zt_check(mprotect(sealed_none, SIZE, PROT_READ) == -1 && errno == EPERM);
	}
	unsigned char in_core[PAGES];
	zt_must(mincore(locked, SIZE, in_core));
	for (int i = 0; i < PAGES; i++)
		zt_check(in_core[i] & 1);
	zt_must(mincore(on_fault, SIZE, in_core));
	for (int i = 0; i < PAGES; i++)
		zt_same(in_core[i] & 1, i == 0);
	zt_check(mprotect(shared_memory, SIZE, PROT_READ | PROT_WRITE) == -1 && errno == EACCES);
	zt_must(unlink(path));
	return zt_pass();
}
