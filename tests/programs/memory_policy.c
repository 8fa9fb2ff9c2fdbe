/* On which nodes memory is to lie: mbind(2), of private and of shared memory. */
#include "zt_test.h"

#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { PAGE = 4096, PAGES = 8, NODES = 1024 };

static struct {
	const char *what;
	int flags, mode;
	unsigned long nodes;
	char *at;
} areas[] = {
	{"private, bound", MAP_PRIVATE, MPOL_BIND, 1, NULL},
	{"private, preferred", MAP_PRIVATE, MPOL_PREFERRED, 1, NULL},
	{"private, interleaved", MAP_PRIVATE, MPOL_INTERLEAVE, 1, NULL},
	{"private, static", MAP_PRIVATE, MPOL_BIND | MPOL_F_STATIC_NODES, 1, NULL},
	{"private, local", MAP_PRIVATE, MPOL_LOCAL, 0, NULL},
	{"shared, bound", MAP_SHARED, MPOL_BIND, 1, NULL},
	{"private, of none", MAP_PRIVATE, MPOL_DEFAULT, 0, NULL},
};
enum { COUNT = sizeof areas / sizeof *areas };

static void check(const char *at, const char *what, int mode, unsigned long nodes)
{
	unsigned long found[NODES / 64] = {0};
	int found_mode = -1;
	zt_must(syscall(SYS_get_mempolicy, &found_mode, found, NODES, at, MPOL_F_ADDR));
	if (found_mode != mode || found[0] != nodes)
		zt_fail("%s: mode %x of nodes %lx, not %x of %lx", what, found_mode, found[0], mode,
			nodes);
}

static void check_all(void)
{
	for (int i = 0; i < COUNT; i++) {
		check(areas[i].at, "before it", MPOL_DEFAULT, 0);
		check(areas[i].at + PAGE, areas[i].what, areas[i].mode, areas[i].nodes);
		check(areas[i].at + (PAGES - 2) * PAGE, areas[i].what, areas[i].mode,
		      areas[i].nodes);
		check(areas[i].at + (PAGES - 1) * PAGE, "after it", MPOL_DEFAULT, 0);
		zt_same(areas[i].at[2 * PAGE], i);
	}
}

int main(void)
{
	for (int i = 0; i < COUNT; i++) {
		areas[i].at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE,
				   areas[i].flags | MAP_ANONYMOUS, -1, 0);
		zt_check(areas[i].at != MAP_FAILED);
		areas[i].at[2 * PAGE] = (char)i;
		zt_must(syscall(SYS_mbind, areas[i].at + PAGE, (PAGES - 2) * PAGE, areas[i].mode,
				areas[i].nodes ? &areas[i].nodes : NULL, 64, 0));
	}
	int ends[2];
	zt_must(pipe(ends));
	pid_t child = zt_must(fork());
	if (!child) {
		zt_must(syscall(SYS_mbind, areas[0].at + PAGE, (PAGES - 2) * PAGE, MPOL_DEFAULT, NULL,
				0, 0));
		areas[0].mode = MPOL_DEFAULT, areas[0].nodes = 0;
		char none;
		close(ends[1]);
		zt_same(read(ends[0], &none, 1), 0);
		check_all();
		_exit(0);
	}
	close(ends[0]);
	check_all();

	zt_ready();

	check_all();
	close(ends[1]);
	zt_join(child);
	return zt_pass();
}
