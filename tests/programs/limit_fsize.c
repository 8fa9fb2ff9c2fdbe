/* RLIMIT_FSIZE: a file that is as large as it may be, and one without a name that is, too. */
#include "zt_limit.h"

enum { LIMIT = 3 * ZT_PAGE + 5 };

static void fill(int fd)
{
	char data[LIMIT];
	memset(data, 'x', sizeof data);
	zt_same(write(fd, data, LIMIT), LIMIT);
}

static void check(int fd)
{
	struct stat seen;
	zt_must(fstat(fd, &seen));
	zt_same(seen.st_size, LIMIT);
	zt_check(write(fd, "y", 1) == -1 && errno == EFBIG);
	zt_check(pwrite(fd, "yy", 2, LIMIT) == -1 && errno == EFBIG);
	zt_same(pwrite(fd, "yy", 2, LIMIT - 1), 1);
}

int main(void)
{
	char path[64], other[64];
	int named = zt_file(path, sizeof path, "full");
	int nameless = zt_file(other, sizeof other, "gone");
	zt_must(unlink(other));
	int memory = zt_must(memfd_create("full", 0));
	zt_limit(RLIMIT_FSIZE, LIMIT);
	signal(SIGXFSZ, SIG_IGN);
	fill(named);
	fill(nameless);
	fill(memory);

	zt_ready();

	zt_limited(RLIMIT_FSIZE, LIMIT);
	check(named);
	check(nameless);
	check(memory);
	zt_must(unlink(path));
	return zt_pass();
}
