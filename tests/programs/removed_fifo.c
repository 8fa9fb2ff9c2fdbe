/* A named pipe that was removed once its ends were open, with data in it (coprocesses, jobservers). */
#include "zt_test.h"

int main(void)
{
	char path[64], other[80];
	snprintf(path, sizeof path, "zt_fifo.%d", (int)getpid());
	zt_must(mkfifo(path, 0640));
	int both = zt_must(open(path, O_RDWR));
	int writer = zt_must(open(path, O_WRONLY | O_NOFOLLOW));
	int reader = zt_must(open(path, O_RDONLY | O_NONBLOCK));
	zt_writes(writer, "kept");
	zt_must(unlink(path));
	int flags = fcntl(writer, F_GETFL);

	/* Another one that lives on under another link. */
	snprintf(other, sizeof other, "%s.other", path);
	zt_must(mkfifo(path, 0600));
	int linked = zt_must(open(path, O_RDWR));
	zt_must(link(path, other));
	zt_must(unlink(path));

	zt_ready();

	zt_reads(both, "kept");
	zt_writes(writer, "more");
	zt_reads(reader, "more");
	zt_same(fcntl(writer, F_GETFL), flags);
	struct stat one, two;
	zt_must(fstat(both, &one));
	zt_must(fstat(reader, &two));
	zt_same(one.st_ino, two.st_ino);
	zt_same(one.st_nlink, 0);
	zt_same(one.st_mode & 07777, 0640);
	zt_check(access(path, F_OK) == -1 && errno == ENOENT);
	int again = zt_must(open(other, O_WRONLY | O_NONBLOCK));
	zt_writes(again, "linked");
	zt_reads(linked, "linked");
	zt_must(unlink(other));
	return zt_pass();
}
