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

	zt_ready();

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
