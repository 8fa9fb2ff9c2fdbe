/* One offset for all that share a description by dup and fork; another for one opened again. */
#include "zt_test.h"

int main(void)
{
	char path[64];
	int fd = zt_file(path, sizeof path, "dup");
	zt_writes(fd, "0123456789");
	int twin = zt_must(dup(fd)), far = zt_must(fcntl(fd, F_DUPFD, 700));
	int apart = zt_must(open(path, O_RDWR));
	int tell[2];
	zt_must(pipe(tell));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_reads(tell[0], "go");
		zt_same(lseek(far, 0, SEEK_CUR), 4);
		zt_writes(far, "child");
		_exit(0);
	}

	zt_ready();

	zt_same(lseek(apart, 0, SEEK_CUR), 0);
	zt_same(lseek(twin, 4, SEEK_SET), 4);
	zt_writes(tell[1], "go");
	zt_join(child);
	zt_same(lseek(fd, 0, SEEK_CUR), 9);
	zt_same(lseek(apart, 0, SEEK_CUR), 0);
	zt_must(fcntl(twin, F_SETFL, O_NONBLOCK));
	zt_same(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	zt_same(fcntl(apart, F_GETFL) & O_NONBLOCK, 0);
	zt_reads(apart, "0123child9");
	zt_must(unlink(path));
	return zt_pass();
}
