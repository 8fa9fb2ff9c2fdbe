/* A server that writes to a page between the births of its workers: those of one generation share what
   was there then, and its last one shares with itself. */
#include "zt_test.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { WORKERS = 3, GENERATIONS = 4, PAGES = 2, PAGE = 4096 };

static char *area;
static int go[2];

/* Page 0 is written once a generation, page 1 before every birth. */
static void look(int generation, int worker)
{
	zt_same(area[5], 'a' + generation);
	zt_same(area[PAGE + 5], 'A' + generation * WORKERS + worker);
}

static void work(int generation, int worker, int deeper)
{
	char c;
	pid_t child = deeper ? zt_must(fork()) : 0;
	if (deeper && !child)
		work(generation, worker, deeper - 1);
	zt_same(read(go[0], &c, 1), 1);
	look(generation, worker);
	if (child) {
		int status;
		zt_same(waitpid(child, &status, 0), child);
		zt_same(status, 0);
	}
	_exit(0);
}

int main(void)
{
	/* A mapping of its own: what else they share is beside the point. */
	area = mmap(NULL, (PAGES + 2) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(area != MAP_FAILED);
	area += PAGE;
	zt_must(mprotect(area, PAGES * PAGE, PROT_READ | PROT_WRITE));
	memset(area, 'x', PAGES * PAGE);
	zt_must(pipe(go));
	for (int generation = 0; generation < GENERATIONS; generation++) {
		area[5] = (char)('a' + generation);
		for (int worker = 0; worker < WORKERS; worker++) {
			area[PAGE + 5] = (char)('A' + generation * WORKERS + worker);
			if (!zt_must(fork()))
				work(generation, worker, generation % 2);
		}
	}

	zt_ready();

	look(GENERATIONS - 1, WORKERS - 1);
	for (int i = 0; i < GENERATIONS * WORKERS * 3 / 2; i++)
		zt_same(write(go[1], "g", 1), 1);
	for (int i = 0, status; i < GENERATIONS * WORKERS; i++) {
		zt_must(wait(&status));
		zt_same(status, 0);
	}
	return zt_pass();
}
