/* Files of O_TMPFILE: one gets a name by linkat, one of O_EXCL does not, and one that lost its name does not again. */
#include "zt_test.h"

#include <sys/syscall.h>

enum { MANY = 1000 };
enum { OF_OPENAT, OF_OPEN, OF_LINK, MAY_BE, KINDS };
static const char *const NAMES[] = {"of_openat", "of_open", "of_link", "may_be"};

static int name(int fd, const char *called)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return linkat(AT_FDCWD, path, AT_FDCWD, called, AT_SYMLINK_FOLLOW);
}

int main(void)
{
	char text[8];
	int fds[KINDS];
	fds[OF_OPENAT] = zt_must(openat(AT_FDCWD, ".", O_TMPFILE | O_EXCL | O_RDWR, 0600));
	fds[OF_OPEN] = zt_must((int)syscall(SYS_open, ".", O_TMPFILE | O_EXCL | O_RDWR, 0600));
	fds[OF_LINK] = zt_must(open(".", O_TMPFILE | O_RDWR, 0600));
	fds[MAY_BE] = zt_must(open(".", O_TMPFILE | O_RDWR, 0600));
	for (int kind = 0; kind < KINDS; kind++)
		zt_writes(fds[kind], NAMES[kind]);
	for (int i = 0; i < MANY; i++)
		zt_must(close(zt_must(open(".", O_TMPFILE | O_EXCL | O_RDWR, 0600))));
	zt_must(name(fds[OF_LINK], "for a while"));
	zt_must(unlink("for a while"));

	zt_ready();

	for (int kind = 0; kind < KINDS; kind++) {
		zt_same(pread(fds[kind], text, 2, 0), 2);
		zt_check(!memcmp(text, NAMES[kind], 2));
		if (kind == MAY_BE)
			continue;
		zt_same(name(fds[kind], NAMES[kind]), -1);
		zt_same(errno, ENOENT);
	}
	zt_must(name(fds[MAY_BE], NAMES[MAY_BE]));
	zt_must(unlink(NAMES[MAY_BE]));
	return zt_pass();
}
