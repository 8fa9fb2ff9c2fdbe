/* A futex wait without a limit, between threads and between processes. */
#include "zt_blocked.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>

static atomic_int word;
static atomic_int *shared;
static pid_t child;

static void blocks(void)
{
	while (atomic_load(&word) == 0)
		zt_same(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0), 0);
}

static void frees(void)
{
	atomic_store(&word, 1);
	zt_same(syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0), 1);
	atomic_store(shared, 1);
	zt_same(syscall(SYS_futex, shared, FUTEX_WAKE, 1, NULL, NULL, 0), 1);
	zt_join(child);
}

int main(void)
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(shared != MAP_FAILED);
	child = zt_must(fork());
	if (child == 0) {
		zt_same(syscall(SYS_futex, shared, FUTEX_WAIT, 0, NULL, NULL, 0), 0);
		zt_same(atomic_load(shared), 1);
		_exit(0);
	}
	return zt_blocked(blocks, frees);
}
