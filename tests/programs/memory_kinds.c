/* Mappings of every kind keep their contents, their sharing, their protection and their place. */
#include "zt_test.h"

#include <sys/mman.h>

#define PAGE 4096UL
#define BIG (1UL << 32)

static char *map(size_t size, int prot, int flags, int fd)
{
	char *at = mmap(NULL, size, prot, flags, fd, 0);
	zt_check(at != MAP_FAILED);
	return at;
}

/* Permissions of the mapping that holds `address`, as /proc/self/maps shows them. */
static void permissions(const void *address, char perms[5])
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");
	zt_check(maps != NULL);
	perms[0] = 0;
	while (fgets(line, sizeof line, maps)) {
		unsigned long start, end;
		char found[5];
		if (sscanf(line, "%lx-%lx %4s", &start, &end, found) == 3 &&
		    start <= (uintptr_t)address && (uintptr_t)address < end)
			memcpy(perms, found, 5);
	}
	fclose(maps);
}

int main(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	char path[64], gone_path[64], perms[5];
	char *anon = map(64 * PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (unsigned i = 0; i < 64; i += 2)
		memset(anon + i * PAGE, (int)i + 1, PAGE);
	zt_must(mprotect(anon + 4 * PAGE, PAGE, PROT_READ));
	zt_must(mprotect(anon + 6 * PAGE, PAGE, PROT_NONE));
	char *shared = map(16 * PAGE, rw, MAP_SHARED | MAP_ANONYMOUS, -1);
	strcpy(shared + PAGE, "shared");
	char *big = map(BIG, rw, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	big[0] = 1;
	big[BIG / 2] = 2;
	big[BIG - 1] = 3;

	int fd = zt_file(path, sizeof path, "mapped");
	zt_must(ftruncate(fd, 4 * PAGE));
	zt_same(pwrite(fd, "on disk", 8, PAGE), 8);
	char *file_private = map(4 * PAGE, rw, MAP_PRIVATE, fd);
	char *file_shared = map(4 * PAGE, rw, MAP_SHARED, fd);
	strcpy(file_private + 2 * PAGE, "private");
	strcpy(file_shared + 3 * PAGE, "shared");
	int gone = zt_file(gone_path, sizeof gone_path, "gone");
	zt_must(ftruncate(gone, 2 * PAGE));
	char *deleted = map(2 * PAGE, rw, MAP_SHARED, gone);
	strcpy(deleted, "deleted");
	zt_must(unlink(gone_path));
	zt_must(close(gone));
	char *locked = map(PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int can_lock = mlock(locked, PAGE) == 0;
	char *unforked = map(PAGE, rw, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	zt_must(madvise(unforked, PAGE, MADV_DONTFORK));

	zt_must(munmap(anon + 9 * PAGE, PAGE)); /* last, or the next mapping would fill the gap */
	int tell[2];
	zt_must(pipe(tell));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_reads(tell[0], "go");
		zt_check(strcmp(shared + PAGE, "shared") == 0);
		strcpy(shared + 2 * PAGE, "by the child");
		zt_check(strcmp(deleted, "deleted") == 0);
		strcpy(deleted + PAGE, "by the child");
		zt_check(strcmp(file_private + 2 * PAGE, "private") == 0);
		strcpy(file_private + 2 * PAGE, "changed");
		anon[0] = 99;
		_exit(0);
	}

	zt_ready();

	zt_writes(tell[1], "go");
	zt_join(child);
	for (unsigned i = 0; i < 64; i++)
		if (i != 6 && i != 9)
			for (unsigned j = 0; j < PAGE; j += 511)
				zt_same(anon[i * PAGE + j], i % 2 ? 0 : i + 1);
	permissions(anon, perms);
	zt_check(strcmp(perms, "rw-p") == 0);
	permissions(anon + 4 * PAGE, perms);
	zt_check(strcmp(perms, "r--p") == 0);
	permissions(anon + 6 * PAGE, perms);
	zt_check(strcmp(perms, "---p") == 0);
	permissions(anon + 9 * PAGE, perms);
	zt_check(perms[0] == 0);
	zt_must(mprotect(anon + 6 * PAGE, PAGE, PROT_READ));
	zt_same(anon[6 * PAGE], 7);
	zt_check(strcmp(shared + 2 * PAGE, "by the child") == 0);
	zt_check(strcmp(deleted + PAGE, "by the child") == 0);
	zt_check(big[0] == 1 && big[BIG / 2] == 2 && big[BIG - 1] == 3 && big[BIG / 4] == 0);
	zt_check(strcmp(file_private + PAGE, "on disk") == 0);
	zt_check(strcmp(file_private + 2 * PAGE, "private") == 0);
	zt_check(strcmp(file_shared + 3 * PAGE, "shared") == 0);
	char text[8];
	zt_same(pread(fd, text, 7, 3 * PAGE), 7);
	zt_check(memcmp(text, "shared", 7) == 0);
	zt_same(pread(fd, text, 1, 2 * PAGE), 1);
	zt_same(text[0], 0);
	strcpy(file_shared, "after");
	zt_same(pread(fd, text, 6, 0), 6);
	zt_check(strcmp(text, "after") == 0);
	if (can_lock)
		zt_must(munlock(locked, PAGE));
	child = zt_must(fork());
	if (child == 0) {
		unsigned char in_core;
		zt_check(mincore(unforked, PAGE, &in_core) == -1 && errno == ENOMEM);
		_exit(0);
	}
	zt_join(child);
	zt_must(unlink(path));
	return zt_pass();
}
