/* Every flag of open(2) that a description keeps is there again: of files with a name, of removed
 * ones, of temporary ones, of directories and of O_PATH descriptors, also in /proc/self/fdinfo. */
#include "zt_test.h"

#include <sys/mman.h>

static int fds[64], known[64];
static unsigned info[64];
static int count;

static unsigned info_flags(int fd)
{
	char path[64], line[128];
	unsigned flags = 0;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	FILE *file = fopen(path, "r");
	zt_check(file != NULL);
	while (fgets(line, sizeof line, file))
		sscanf(line, "flags: %o", &flags);
	fclose(file);
	return flags;
}

static int keep(int fd)
{
	fds[count] = fd;
	known[count] = zt_must(fcntl(fd, F_GETFL));
	info[count++] = info_flags(fd);
	return fd;
}

/* Some file systems refuse some flags: those are not to be seen then. */
static void try(const char *path, int flags)
{
	int fd = open(path, flags, 0600);
	const int error = errno;
	if (fd >= 0)
		keep(fd);
	else
		zt_check(error == EINVAL || error == EOPNOTSUPP || error == EPERM);
}

int main(void)
{
	static const int flags[] = {
		O_RDONLY,
		O_RDWR | O_NOFOLLOW,
		O_WRONLY | O_APPEND,
		O_RDWR | O_SYNC,
		O_RDWR | O_DSYNC,
		O_RDONLY | O_NOATIME,
		O_RDONLY | O_DIRECT,
		O_RDONLY | O_NONBLOCK | O_NOCTTY,
		O_RDONLY | O_CLOEXEC,
		O_RDWR | O_ASYNC,
		O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW,
		O_PATH,
		O_PATH | O_NOFOLLOW | O_CLOEXEC,
	};
	char named[64], removed[64], fifo[64], gone_link[64];
	zt_must(close(zt_file(named, sizeof named, "named")));
	zt_must(close(zt_file(removed, sizeof removed, "removed")));
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		try(named, flags[i]);
		try(removed, flags[i]);
	}
	char fresh[80];
	snprintf(fresh, sizeof fresh, "%s.fresh", removed);
	int excl = keep(zt_must(open(fresh, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0600)));
	zt_writes(excl, "fresh");
	zt_must(unlink(fresh));
	zt_must(unlink(removed));
	try(".", O_TMPFILE | O_RDWR);
	try(".", O_TMPFILE | O_WRONLY);
	try(".", O_TMPFILE | O_RDWR | O_EXCL | O_APPEND);
	keep(zt_must(open(".", O_RDONLY | O_DIRECTORY)));
	keep(zt_must(open(".", O_PATH | O_DIRECTORY)));
	snprintf(gone_link, sizeof gone_link, "zt_link.%d", (int)getpid());
	zt_must(symlink("to/nowhere", gone_link));
	int link = keep(zt_must(open(gone_link, O_PATH | O_NOFOLLOW)));
	zt_must(unlink(gone_link));
	snprintf(fifo, sizeof fifo, "zt_fifo.%d", (int)getpid());
	zt_must(mkfifo(fifo, 0600));
	keep(zt_must(open(fifo, O_RDWR | O_NOFOLLOW | O_CLOEXEC)));
	keep(zt_must(open(fifo, O_PATH)));

	zt_ready();

	for (int i = 0; i < count; i++) {
		if (fcntl(fds[i], F_GETFL) != known[i])
			zt_fail("fd %d: F_GETFL is %#o, not %#o", fds[i], fcntl(fds[i], F_GETFL), known[i]);
		if (info_flags(fds[i]) != info[i])
			zt_fail("fd %d: fdinfo says %#o, not %#o", fds[i], info_flags(fds[i]), info[i]);
	}
	char target[32] = {0};
	zt_same(readlinkat(link, "", target, sizeof target), 10);
	zt_check(strcmp(target, "to/nowhere") == 0);
	zt_must(lseek(excl, 0, SEEK_SET));
	zt_reads(excl, "fresh");
	struct stat st;
	zt_must(fstat(excl, &st));
	zt_same(st.st_nlink, 0);
	zt_must(unlink(named));
	zt_must(unlink(fifo));
	return zt_pass();
}
