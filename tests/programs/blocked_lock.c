/* flock and fcntl(F_SETLKW) that wait for a lock held by another, while the pod is frozen. */
#include "zt_blocked.h"

#include <sys/file.h>

static int holder, waiter, tell[2];
static char path[64];
static pid_t child;

static void blocks(void) { zt_same(flock(waiter, LOCK_EX), 0); }

static void frees(void)
{
	struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET};
	zt_must(flock(holder, LOCK_UN));
	zt_must(fcntl(holder, F_SETLK, &unlock));
	zt_join(child);
	zt_must(unlink(path));
}

int main(void)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	holder = zt_file(path, sizeof path, "wait");
	waiter = zt_must(open(path, O_RDWR));
	zt_must(flock(holder, LOCK_EX));
	zt_must(fcntl(holder, F_SETLK, &lock));
	zt_must(pipe(tell));
	child = zt_must(fork());
	if (child == 0) {
		zt_writes(tell[1], "up");
		zt_must(fcntl(holder, F_SETLKW, &lock));
		_exit(0);
	}
	zt_reads(tell[0], "up");
	return zt_blocked(blocks, frees);
}
