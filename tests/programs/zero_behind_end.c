/* Shared anonymous memory, and /dev/zero, mapped behind the end of what there is: grown and cut there, or from an
 * offset on. It has no page there, as before, it has those of before, and is called what it was called. */
#include "zt_test.h"

#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 3 };

static sigjmp_buf back;

static void on_bus(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

static bool has_page(const volatile char *at)
{
	if (sigsetjmp(back, 1))
		return false;
	(void)*at;
	return true;
}

static bool is_called(const char *at, const char *name)
{
	char line[256];
	unsigned long start, end;
	bool found = false;
	FILE *maps = fopen("/proc/self/maps", "r");
	zt_check(maps != NULL);
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && (unsigned long)at >= start &&
		    (unsigned long)at < end)
			found = strstr(line, name) != NULL;
	fclose(maps);
	return found;
}

int main(void)
{
	const int both = PROT_READ | PROT_WRITE;
	char *grown = mmap(NULL, PAGES * PAGE, both, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(grown != MAP_FAILED);
	grown = mremap(grown, PAGES * PAGE, 2 * PAGES * PAGE, MREMAP_MAYMOVE);
	zt_check(grown != MAP_FAILED);
	memcpy(grown + PAGE, "shared", 7);
	zt_must(mprotect(grown + PAGES * PAGE, PAGE, PROT_READ)); /* a mapping that begins at the end */
	int zero = zt_must(open("/dev/zero", O_RDWR));
	char *behind = mmap(NULL, PAGE, both, MAP_SHARED, zero, 2 * PAGE);
	zt_check(behind != MAP_FAILED);
	zt_must(close(zero));
	signal(SIGBUS, on_bus);

	zt_ready();

	zt_check(has_page(grown + (PAGES - 1) * PAGE));
	for (int page = PAGES; page < 2 * PAGES; page++)
		zt_check(!has_page(grown + page * PAGE));
	zt_check(!has_page(behind));
	zt_check(is_called(grown, "/dev/zero (deleted)"));
	zt_check(is_called(grown + PAGES * PAGE, "/dev/zero (deleted)"));
	zt_check(is_called(behind, "/dev/zero (deleted)"));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_same(memcmp(grown + PAGE, "shared", 7), 0);
		memcpy(grown + PAGE, "SHARED", 7);
		_exit(0);
	}
	zt_join(child);
	zt_same(memcmp(grown + PAGE, "SHARED", 7), 0);
	return zt_pass();
}
