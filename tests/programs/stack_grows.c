/* The stack grows after the move as before, for the kernel still knows it as one. */
#include "zt_test.h"

#include <alloca.h>
#include <sys/resource.h>

__attribute__((noinline)) static unsigned deep(unsigned levels)
{
	volatile char frame[4096];
	frame[0] = (char)levels;
	frame[sizeof frame - 1] = 1;
	unsigned below = levels ? deep(levels - 1) : 0;
	return below + (unsigned char)frame[0] % 2 + (unsigned)frame[sizeof frame - 1];
}

int main(int argc, char **argv, char **environment)
{
	unsigned before = deep(64);
	char name[64], *first = strdup(argv[0]);
	size_t count = 0;
	while (environment[count])
		count++;

	zt_ready();

	zt_same(deep(64), before);
	zt_check(deep(1200) > 1200);
	zt_check(strcmp(first, argv[0]) == 0);
	zt_same(argc, 1);
	for (size_t i = 0; i < count; i++)
		zt_check(strchr(environment[i], '=') != NULL);
	int fd = zt_must(open("/proc/self/cmdline", O_RDONLY));
	zt_check(read(fd, name, sizeof name) > 0);
	zt_check(strncmp(name, argv[0], sizeof name - 1) == 0);
	return zt_pass();
}
