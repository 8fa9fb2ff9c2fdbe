/* Memory that was writable once, was never written, and is protected now: it can be opened up again. */
#include "zt_test.h"

#include <sys/mman.h>

#define SIZE (4 * 4096UL)

int main(void)
{
	static const int later[] = {PROT_READ, PROT_NONE, PROT_READ | PROT_EXEC};
	enum { N = sizeof later / sizeof *later };
	char *at[N];
	for (int i = 0; i < N; i++) {
		at[i] = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		zt_check(at[i] != MAP_FAILED);
		zt_must(mprotect(at[i], SIZE, later[i]));
	}

	zt_ready();

	for (int i = 0; i < N; i++) {
		zt_must(mprotect(at[i], SIZE, PROT_READ | PROT_WRITE));
		for (unsigned long n = 0; n < SIZE; n++)
			zt_same(at[i][n], 0);
		memset(at[i], 'w', SIZE);
	}
	return zt_pass();
}
