/* /dev/null and its like, an O_PATH descriptor, and files of /proc about ourselves. */
#include "zt_test.h"

int main(void)
{
	char text[64] = {0};
	int null = zt_must(open("/dev/null", O_WRONLY));
	int zero = zt_must(open("/dev/zero", O_RDONLY));
	int full = zt_must(open("/dev/full", O_WRONLY));
	int random = zt_must(open("/dev/urandom", O_RDONLY));
	int path = zt_must(open("/etc/passwd", O_PATH));
	int self = zt_must(open("/proc/self/comm", O_RDONLY));

	zt_ready();

	zt_writes(null, "gone");
	text[0] = 1;
	zt_same(read(zero, text, 1), 1);
	zt_same(text[0], 0);
	zt_check(write(full, "x", 1) == -1 && errno == ENOSPC);
	zt_same(read(random, text, 8), 8);
	zt_check(read(path, text, 1) == -1 && errno == EBADF);
	struct stat st;
	zt_must(fstat(path, &st));
	zt_check(S_ISREG(st.st_mode));
	zt_check(read(self, text, sizeof text) > 1 && text[0] != 0);
	return zt_pass();
}
