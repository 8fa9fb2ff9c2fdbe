/* Shared anonymous memory: who inherited it has it in common, wherever in their memory it is, and as
 * much of it as each maps. */
#include "zt_test.h"

#include <sys/mman.h>
#include <sys/prctl.h>

enum { PAGE = 4096, PAGES = 64, SIZE = PAGES * PAGE };

static void name_of(const void *at, char name[256])
{
	char line[512];
	FILE *file = fopen("/proc/self/maps", "r");
	zt_check(file != NULL);
	name[0] = 0;
	while (fgets(line, sizeof line, file)) {
		unsigned long start, end;
		char perms[5], found[256] = "";
		if (sscanf(line, "%lx-%lx %4s %*s %*s %*s %255[^\n]", &start, &end, perms, found) >= 3 &&
		    start <= (uintptr_t)at && (uintptr_t)at < end)
			strcpy(name, found);
	}
	fclose(file);
}

static char *map(void)
{
	char *at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(at != MAP_FAILED);
	return at;
}

int main(void)
{
	char name[256], after[256];
	char *ours = map(), *theirs = map(), *named = map();
	for (int i = 0; i < PAGES; i += 2)
		ours[i * PAGE] = (char)(i + 1);
	strcpy(theirs, "of the children");
	prctl(0x53564d41, 0, named, SIZE, "a name"); /* where the kernel has names */
	int tell[3][2];
	pid_t child[3];
	for (int n = 0; n < 3; n++) {
		zt_must(pipe(tell[n]));
		child[n] = zt_must(fork());
		if (child[n])
			continue;
		char *at = ours;
		if (n == 0) { /* elsewhere, in two parts, one of them not to be written */
			at = mremap(ours, SIZE / 2, SIZE / 2, MREMAP_MAYMOVE | MREMAP_FIXED, map());
			zt_check(at != MAP_FAILED);
			zt_must(mprotect(at + PAGE, PAGE, PROT_READ));
		}
		if (n == 1)
			zt_must(munmap(ours + PAGE, PAGE));
		zt_reads(tell[n][0], "go");
		for (int i = 2; i < PAGES / 2; i += 2)
			zt_same(at[i * PAGE], (char)(i + 1));
		at[(3 + 2 * n) * PAGE] = (char)(100 + n);
		zt_check(strcmp(theirs, "of the children") == 0);
		theirs[PAGE * (n + 1)] = (char)n;
		if (n == 2) { /* what the others wrote, after them */
			zt_same(theirs[PAGE * 2], 1);
			zt_same(at[3 * PAGE], 100);
		}
		_exit(0);
	}
	zt_must(munmap(theirs, SIZE)); /* only the children have it, and share it */
	name_of(ours, name);

	zt_ready();

	name_of(ours, after);
	zt_check(strcmp(name, after) == 0);
	for (int n = 0; n < 3; n++) {
		zt_writes(tell[n][1], "go");
		zt_join(child[n]);
	}
	for (int i = 0; i < PAGES; i++)
		zt_same(ours[i * PAGE], i == 3 || i == 5 || i == 7 ? 100 + (i - 3) / 2 : i % 2 ? 0 : i + 1);
	return zt_pass();
}
