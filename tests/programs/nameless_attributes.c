/* A file without a name keeps its times, its mode and its extended attributes. */
#include "zt_test.h"

#include <sys/xattr.h>

static const struct timespec times[2] = {{1000, 1}, {2000, 2}};

static void look(int fd, mode_t mode, bool attributes)
{
	struct stat now;
	char value[8] = "";
	zt_must(fstat(fd, &now));
	zt_same(now.st_mode & 07777, mode);
	zt_same(now.st_nlink, 0);
	zt_same(now.st_atim.tv_sec, times[0].tv_sec);
	zt_same(now.st_atim.tv_nsec, times[0].tv_nsec);
	zt_same(now.st_mtim.tv_sec, times[1].tv_sec);
	zt_same(now.st_mtim.tv_nsec, times[1].tv_nsec);
	if (!attributes)
		return;
	zt_same(fgetxattr(fd, "user.zt", value, sizeof value), 5);
	zt_check(memcmp(value, "value", 5) == 0);
}

int main(void)
{
	char path[64];
	int removed = zt_file(path, sizeof path, "attributes");
	int never = zt_must(open(".", O_TMPFILE | O_RDWR, 0600));
	zt_writes(removed, "removed");
	zt_writes(never, "never named");
	/* Some file systems have none. */
	bool attributes = fsetxattr(removed, "user.zt", "value", 5, 0) == 0;
	zt_same(fsetxattr(never, "user.zt", "value", 5, 0) == 0, attributes);
	zt_must(fchmod(removed, 0404));
	zt_must(fchmod(never, 0640));
	zt_must(futimens(removed, times));
	zt_must(futimens(never, times));
	zt_must(unlink(path));

	zt_ready();

	look(removed, 0404, attributes);
	look(never, 0640, attributes);
	char text[16];
	zt_same(pread(removed, text, sizeof text, 0), 7);
	zt_check(memcmp(text, "removed", 7) == 0);
	return zt_pass();
}
