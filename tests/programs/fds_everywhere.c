/* Descriptors with numbers up to the highest that the limit allows, some shared among numbers and
 * processes, many of one and the same file, close-on-exec here and not there. */
#include "zt_test.h"

#include <sys/resource.h>

enum { MANY = 500, STRIDE = 3 };

static int top;

static int number(int i)
{
	return top - i * STRIDE;
}

static void check(const char *path, bool child)
{
	struct stat wanted, found;
	zt_must(stat(path, &wanted));
	for (int i = 0; i < MANY; i++) {
		zt_must(fstat(number(i), &found));
		zt_same(found.st_ino, wanted.st_ino);
		zt_same(fcntl(number(i), F_GETFD), i % 2 ? FD_CLOEXEC : 0);
		zt_same(fcntl(number(i) - 1, F_GETFD), i % 3 ? FD_CLOEXEC : 0);
		/* The neighbour is the same description, and of the 500 each is its own. */
		zt_same(lseek(number(i), 0, SEEK_CUR), child ? i + 1 : i);
		zt_same(lseek(number(i) - 1, 0, SEEK_CUR), child ? i + 1 : i);
		zt_check(fcntl(number(i) - 2, F_GETFD) == -1 && errno == EBADF);
	}
	zt_check(fcntl(top + 1, F_GETFD) == -1);
}

int main(void)
{
	char path[64];
	int pipe_[2];
	struct rlimit limit;
	zt_must(getrlimit(RLIMIT_NOFILE, &limit));
	if (limit.rlim_cur > 30000)
		limit.rlim_cur = 30000; /* a table for millions would only be slow */
	zt_must(setrlimit(RLIMIT_NOFILE, &limit));
	top = (int)limit.rlim_cur - 1;
	zt_check(top > MANY * STRIDE);
	zt_must(pipe(pipe_));
	zt_must(close(zt_file(path, sizeof path, "file")));
	for (int i = 0; i < MANY; i++) {
		int fd = zt_must(open(path, O_RDWR));
		zt_same(lseek(fd, i, SEEK_SET), i);
		zt_same(dup3(fd, number(i), i % 2 ? O_CLOEXEC : 0), number(i));
		zt_same(dup3(fd, number(i) - 1, i % 3 ? O_CLOEXEC : 0), number(i) - 1);
		zt_must(close(fd));
	}
	pid_t child = zt_must(fork());
	if (child == 0) {
		char byte;
		zt_must(close(pipe_[1]));
		zt_same(read(pipe_[0], &byte, 1), 1);
		check(path, true);
		_exit(0);
	}
	zt_must(close(pipe_[0]));

	zt_ready();

	check(path, false);
	for (int i = 0; i < MANY; i++)
		zt_same(lseek(number(i) - 1, 1, SEEK_CUR), i + 1); /* the child is to see it */
	zt_same(write(pipe_[1], "x", 1), 1);
	zt_join(child);
	zt_must(unlink(path));
	return zt_pass();
}
