/* A POSIX lock whose taker has ended, while another that shares its descriptors goes on: it is held, by nobody that
 * is there, and goes when the file is closed there. */
#include "zt_test.h"

#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>

static struct flock range(int type)
{
	return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
}

static pid_t sharer(void)
{
	return (pid_t)zt_must((int)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0));
}

/* Seen by a process with descriptors of its own. */
static void is_locked(const char *path, bool expected, pid_t not_by)
{
	pid_t child = zt_must(fork());
	if (child == 0) {
		struct flock seen = range(F_WRLCK);
		int fd = zt_must(open(path, O_RDWR));
		zt_must(fcntl(fd, F_GETLK, &seen));
		zt_same(seen.l_type == F_WRLCK, expected);
		if (expected) {
			zt_same(seen.l_start, 10);
			zt_same(seen.l_len, 5);
			zt_check(seen.l_pid != not_by);
		}
		_exit(0);
	}
	zt_join(child);
}

int main(void)
{
	char path[64];
	int fd = zt_file(path, sizeof path, "locked");
	zt_writes(fd, "0123456789abcdefghij");
	pid_t taker = sharer();
	if (taker == 0) {
		struct flock lock = range(F_WRLCK);
		_exit(fcntl(fd, F_SETLK, &lock) != 0);
	}
	zt_join(taker);
	is_locked(path, true, getpid());

	zt_ready();

	is_locked(path, true, getpid());
	struct flock mine = range(F_WRLCK);
	zt_must(fcntl(fd, F_SETLK, &mine)); /* it is of all who share the descriptors */
	zt_must(close(fd));
	is_locked(path, false, 0);
	return zt_pass();
}
