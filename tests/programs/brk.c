/* The heap's end is where it was, and moves from there. */
#include "zt_test.h"

int main(void)
{
	char *start = sbrk(0);
	zt_check(sbrk(100000) == start);
	for (int i = 0; i < 100000; i++)
		start[i] = (char)i;
	char *end = sbrk(0);

	zt_ready();

	zt_check(sbrk(0) == end);
	for (int i = 0; i < 100000; i++)
		zt_same(start[i], (char)i);
	zt_check(sbrk(50000) == end);
	memset(end, 1, 50000);
	zt_check(sbrk(-50000) == end + 50000);
	void *much = malloc(1 << 20);
	zt_check(much != NULL);
	memset(much, 2, 1 << 20);
	free(much);
	return zt_pass();
}
