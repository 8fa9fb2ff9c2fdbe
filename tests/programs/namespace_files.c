/* Files of namespaces, held open: they are those that the process is in. */
#include "zt_test.h"

static const char *const KINDS[] = {"net", "uts", "ipc", "pid", "user", "mnt", "cgroup"};
enum { COUNT = sizeof KINDS / sizeof *KINDS };

static int own(const char *kind, int flags)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/ns/%s", kind);
	return zt_must(open(path, O_RDONLY | flags));
}

int main(void)
{
	int held[COUNT], path = own("net", O_PATH | O_CLOEXEC);
	for (int i = 0; i < COUNT; i++)
		held[i] = own(KINDS[i], i % 2 ? O_CLOEXEC : 0);

	zt_ready();

	for (int i = 0; i < COUNT; i++) {
		struct stat was, is;
		int now = own(KINDS[i], 0);
		zt_must(fstat(held[i], &was));
		zt_must(fstat(now, &is));
		zt_same(was.st_ino, is.st_ino);
		zt_same(was.st_dev, is.st_dev);
		zt_same(zt_must(fcntl(held[i], F_GETFD)), i % 2 ? FD_CLOEXEC : 0);
		zt_must(close(now));
	}
	zt_check(zt_must(fcntl(path, F_GETFL)) & O_PATH);
	return zt_pass();
}
