/* flock and open file description locks belong to the description, through dup and fork. */
#include "zt_test.h"

#include <sys/file.h>

int main(void)
{
	char path[64];
	int fd = zt_file(path, sizeof path, "flock");
	int twin = zt_must(dup(fd));
	int other = zt_must(open(path, O_RDWR));
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5};
	zt_must(flock(fd, LOCK_EX));
	zt_must(fcntl(fd, F_OFD_SETLK, &lock));

	/* As flock(1) does for a script: it takes the lock, and ends. */
	char left[64];
	int script = zt_file(left, sizeof left, "script"), mine = zt_must(open(left, O_RDWR));
	int gone[2];
	zt_must(pipe(gone));
	pid_t child = zt_must(fork());
	if (child == 0)
		_exit(flock(script, LOCK_EX));
	zt_join(child);
	/* And one goes on, but has closed the file. */
	char given[64];
	int away = zt_file(given, sizeof given, "away"), near = zt_must(open(given, O_RDWR));
	child = zt_must(fork());
	if (child == 0) {
		char byte;
		zt_must(flock(away, LOCK_SH));
		zt_must(close(away));
		zt_must(close(near));
		zt_must(close(gone[1]));
		_exit((int)read(gone[0], &byte, 1));
	}
	while (flock(near, LOCK_EX | LOCK_NB) == 0)
		zt_must(flock(near, LOCK_UN));

	zt_ready();

	zt_check(flock(mine, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
	zt_must(flock(script, LOCK_UN));
	zt_must(flock(mine, LOCK_EX | LOCK_NB));
	zt_check(flock(near, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK);
	zt_must(flock(near, LOCK_SH | LOCK_NB));
	zt_must(close(gone[1]));
	zt_join(child);
	zt_must(flock(away, LOCK_UN));
	zt_must(flock(near, LOCK_EX | LOCK_NB));
	zt_must(unlink(left));
	zt_must(unlink(given));

	zt_check(flock(other, LOCK_SH | LOCK_NB) == -1 && errno == EWOULDBLOCK);
	struct flock probe = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 100};
	zt_must(fcntl(other, F_OFD_GETLK, &probe));
	zt_same(probe.l_type, F_WRLCK);
	zt_same(probe.l_start, 10);
	zt_same(probe.l_len, 5);
	zt_must(flock(twin, LOCK_UN));
	zt_must(flock(other, LOCK_SH | LOCK_NB));
	zt_must(flock(fd, LOCK_SH | LOCK_NB));
	zt_must(unlink(path));
	return zt_pass();
}
