/* Memory beyond 2^47, which who asks for it there gets where page tables have five levels, stays where it
 * is, with what is in it, also what a child shares. Elsewhere the kernel gives memory below. */
#include "zt_test.h"

#include <sys/mman.h>

enum { SIZE = 8 * 4096, READ_ONLY = 4096 };

static char *ask_for(unsigned long place)
{
	char *at = mmap((void *)place, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(at != MAP_FAILED);
	memset(at, 'h', SIZE);
	zt_must(mprotect(at, READ_ONLY, PROT_READ));
	return at;
}

static void check(const char *at, char last)
{
	for (int i = 0; i < SIZE - 1; i++)
		zt_same(at[i], 'h');
	zt_same(at[SIZE - 1], last);
}

int main(void)
{
	char *high = ask_for(1UL << 48), *highest = ask_for((1UL << 56) - (1UL << 30));
	int go[2], status;
	zt_check((unsigned long)high >> 47 == 0 || high == (char *)(1UL << 48));
	zt_check((unsigned long)high >> 47 != 0 || (unsigned long)highest >> 47 == 0);
	zt_must(pipe(go));
	pid_t child = fork();
	zt_check(child >= 0);
	if (child == 0) {
		char byte;
		high[SIZE - 1] = 'c';
		zt_same(read(go[0], &byte, 1), 1);
		check(high, 'c');
		check(highest, 'h');
		_exit(0);
	}

	zt_ready();

	check(high, 'h');
	check(highest, 'h');
	high[SIZE - 1] = highest[SIZE - 1] = 'x';
	zt_same(write(go[1], "g", 1), 1);
	zt_same(waitpid(child, &status, 0), child);
	zt_same(status, 0);
	check(high, 'x');
	check(highest, 'x');
	return zt_pass();
}
