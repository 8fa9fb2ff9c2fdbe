/* Memory that is locked when children are born stays shared with them by copy-on-write, and locked
 * for the one who did it. */
#include "zt_test.h"

#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 8, KIDS = 3 };

int main(void)
{
	const size_t size = PAGES * PAGE;
	char *locked = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *other = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int go[2];
	pid_t born[KIDS];
	memset(locked, 3, size);
	memset(other, 4, size);
	zt_must(mlock(locked, size));
	zt_must(pipe(go));
	for (int i = 0; i < KIDS; i++) {
		born[i] = zt_must(fork());
		if (born[i])
			continue;
		char byte;
		zt_must(close(go[1]));
		if (i == 1) /* its own copy of one */
			locked[PAGE] = 5;
		pid_t grandchild = 0;
		if (i == 2) { /* which has its own, and shares those */
			zt_must(mlock(locked, size));
			memset(locked, 7, size);
			grandchild = zt_must(fork());
			if (grandchild == 0) {
				zt_same(read(go[0], &byte, 1), 0);
				zt_same(locked[2 * PAGE], 7);
				_exit(0);
			}
		}
		zt_same(read(go[0], &byte, 1), 0);
		zt_same(locked[PAGE], i == 0 ? 3 : i == 1 ? 5 : 7);
		zt_same(locked[2 * PAGE], i == 2 ? 7 : 3);
		zt_same(madvise(locked, size, MADV_DONTNEED), i == 2 ? -1 : 0); /* not if locked here */
		zt_same(locked[0], i == 2 ? 7 : 0);
		if (grandchild)
			zt_join(grandchild);
		_exit(0);
	}
	locked[3 * PAGE] = 6;

	zt_ready();

	zt_must(close(go[1]));
	for (int i = 0; i < KIDS; i++)
		zt_join(born[i]);
	zt_same(locked[0], 3);
	zt_same(locked[3 * PAGE], 6);
	zt_same(other[0], 4);
	zt_check(madvise(locked, size, MADV_DONTNEED) == -1 && errno == EINVAL);
	return zt_pass();
}
