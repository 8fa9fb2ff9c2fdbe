/* POSIX record locks belong to the process that took them. */
#include "zt_test.h"

static struct flock range(short type, off_t start, off_t length)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length,
	};
}

int main(void)
{
	char path[64];
	int tell[2], told[2];
	int fd = zt_file(path, sizeof path, "posix");
	struct flock mine = range(F_WRLCK, 0, 10), shared = range(F_RDLCK, 50, 0);
	zt_must(fcntl(fd, F_SETLK, &mine));
	zt_must(fcntl(fd, F_SETLK, &shared));
	zt_must(pipe(tell));
	zt_must(pipe(told));
	pid_t child = zt_must(fork());
	if (child == 0) {
		struct flock own = range(F_WRLCK, 20, 5), seen = range(F_WRLCK, 0, 5);
		zt_must(fcntl(fd, F_SETLK, &own));
		zt_writes(told[1], "locked");
		zt_reads(tell[0], "go");
		zt_must(fcntl(fd, F_GETLK, &seen));
		zt_same(seen.l_type, F_WRLCK);
		zt_same(seen.l_start, 0);
		zt_same(seen.l_len, 10);
		seen = range(F_WRLCK, 1000, 1);
		zt_must(fcntl(fd, F_GETLK, &seen));
		zt_same(seen.l_type, F_RDLCK);
		zt_same(seen.l_start, 50);
		zt_same(seen.l_len, 0);
		_exit(0);
	}
	zt_reads(told[0], "locked");

	zt_ready();

	struct flock seen = range(F_RDLCK, 11, 30);
	zt_must(fcntl(fd, F_GETLK, &seen));
	zt_same(seen.l_type, F_WRLCK);
	zt_same(seen.l_start, 20);
	zt_same(seen.l_len, 5);
	zt_writes(tell[1], "go");
	zt_join(child);
	seen = range(F_WRLCK, 20, 5);
	zt_must(fcntl(fd, F_SETLK, &seen));
	zt_must(unlink(path));
	return zt_pass();
}
