/* Guard pages (MADV_GUARD_INSTALL) are where they were, in private and shared memory, also in a child. */
#include "zt_test.h"

#include <setjmp.h>
#include <sys/mman.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif

enum { PAGE = 4096, PAGES = 64, FIRST = 8, LAST = 12 };

static sigjmp_buf back;

static void on_fault(int signal)
{
	siglongjmp(back, signal);
}

static int fault_at(volatile char *at)
{
	int signal = sigsetjmp(back, 1);
	if (signal == 0)
		*at;
	return signal;
}

static void check(char *pages, char content)
{
	for (int i = 0; i < PAGES; i++) {
		int wanted = i >= FIRST && i < LAST ? SIGSEGV : 0;
		zt_same(fault_at(pages + i * PAGE), wanted);
		if (!wanted)
			zt_same(pages[i * PAGE], content);
	}
}

static char *make(int flags, char content)
{
	char *pages = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
	zt_check(pages != MAP_FAILED);
	memset(pages, content, PAGES * PAGE);
	if (madvise(pages + FIRST * PAGE, (LAST - FIRST) * PAGE, MADV_GUARD_INSTALL)) {
		zt_same(errno, EINVAL); /* a kernel without them, or without them in shared memory */
		return NULL;
	}
	return pages;
}

int main(void)
{
	signal(SIGSEGV, on_fault);
	char *private = make(MAP_PRIVATE, 3), *shared = make(MAP_SHARED, 4);
	/* One that had some, which stays marked (VmFlags). */
	char *once = make(MAP_PRIVATE, 5);
	if (once)
		zt_must(madvise(once + FIRST * PAGE, PAGE, MADV_GUARD_REMOVE));
	for (int i = FIRST + 1; once && i < LAST; i++)
		zt_must(madvise(once + i * PAGE, PAGE, MADV_GUARD_REMOVE));
	int tell[2];
	zt_must(pipe(tell));
	pid_t child = zt_must(fork());
	if (child == 0) {
		if (private)
			private[0] = 3; /* its own */
		zt_reads(tell[0], "go");
		if (private)
			check(private, 3);
		if (shared)
			check(shared, 4);
		_exit(0);
	}

	zt_ready();

	for (int i = 0; once && i < PAGES; i++)
		zt_same(once[i * PAGE], i >= FIRST && i < LAST ? 0 : 5);
	zt_writes(tell[1], "go");
	zt_join(child);
	if (private) {
		check(private, 3);
		zt_must(madvise(private + FIRST * PAGE, (LAST - FIRST) * PAGE, MADV_GUARD_REMOVE));
		zt_same(private[FIRST * PAGE], 0);
	}
	if (shared) {
		check(shared, 4);
		zt_must(madvise(shared + FIRST * PAGE, (LAST - FIRST) * PAGE, MADV_GUARD_REMOVE));
		zt_same(shared[FIRST * PAGE], 4); /* the page itself was not touched */
	}
	return zt_pass();
}
