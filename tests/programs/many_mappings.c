/* Very many mappings, and very large arguments: all are there, each with its bytes. */
#include "zt_test.h"

#include <sys/mman.h>

#define PAGE 4096UL

enum { ARGUMENTS = 16, LENGTH = 100000, MAPS = 3000 };

static size_t file_size(const char *path)
{
	char buffer[65536];
	size_t size = 0;
	int fd = zt_must(open(path, O_RDONLY));
	for (ssize_t n; (n = zt_must(read(fd, buffer, sizeof buffer))) > 0;)
		size += (size_t)n;
	close(fd);
	return size;
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		char *text = malloc(LENGTH + 1);
		char *arguments[ARGUMENTS + 2] = {argv[0]};
		memset(text, 'a', LENGTH);
		text[LENGTH] = 0;
		for (int i = 1; i <= ARGUMENTS; i++)
			arguments[i] = text;
		zt_must(execv("/proc/self/exe", arguments));
	}
	char *at = mmap(NULL, 2 * MAPS * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(at != MAP_FAILED);
	for (size_t i = 0; i < MAPS; i++) {
		memcpy(at + 2 * i * PAGE, &i, sizeof i);
		zt_must(mprotect(at + (2 * i + 1) * PAGE, PAGE, i % 2 ? PROT_NONE : PROT_READ));
	}
	size_t size = file_size("/proc/self/cmdline");
	zt_check(size > (size_t)ARGUMENTS * LENGTH);

	zt_ready();

	zt_same(file_size("/proc/self/cmdline"), size);
	zt_same(argc, ARGUMENTS + 1);
	for (int i = 1; i < argc; i++)
		zt_same(strlen(argv[i]), LENGTH);
	for (size_t i = 0, found; i < MAPS; i++) {
		memcpy(&found, at + 2 * i * PAGE, sizeof found);
		zt_same(found, i);
	}
	return zt_pass();
}
