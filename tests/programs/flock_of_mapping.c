/* A lock that only a mapping keeps: its file was closed since, and is open nowhere. */
#include "zt_test.h"

#include <sys/file.h>
#include <sys/mman.h>

enum { SIZE = 4096 };

static char *map_locked(const char *name, int prot, int flags, int how)
{
	int fd = zt_must(open(name, O_RDWR | O_CREAT, 0600));
	zt_must(ftruncate(fd, SIZE));
	zt_must(close(fd));
	fd = zt_must(open(name, prot & PROT_WRITE ? O_RDWR : O_RDONLY));
	zt_must(flock(fd, how));
	char *place = mmap(NULL, SIZE, prot, flags, fd, 0);
	zt_check(place != MAP_FAILED);
	zt_must(close(fd));
	return place;
}

static void is_locked(const char *name, int how, bool wanted)
{
	int fd = zt_must(open(name, O_RDWR));
	int result = flock(fd, how | LOCK_NB), error = errno;
	zt_same(result, wanted ? -1 : 0);
	if (wanted)
		zt_same(error, EWOULDBLOCK);
	zt_must(close(fd));
}

int main(void)
{
	char *written = map_locked("written", PROT_READ | PROT_WRITE, MAP_SHARED, LOCK_EX);
	char *read = map_locked("read", PROT_READ, MAP_SHARED, LOCK_SH);
	char *own = map_locked("own", PROT_READ, MAP_PRIVATE, LOCK_EX);
	strcpy(written, "before");

	zt_ready();

	zt_check(strcmp(written, "before") == 0);
	is_locked("written", LOCK_SH, true);
	is_locked("read", LOCK_SH, false);
	is_locked("read", LOCK_EX, true);
	is_locked("own", LOCK_SH, true);
	zt_must(munmap(written, SIZE));
	zt_must(munmap(read, SIZE));
	zt_must(munmap(own, SIZE));
	is_locked("written", LOCK_EX, false);
	is_locked("read", LOCK_EX, false);
	is_locked("own", LOCK_EX, false);
	return zt_pass();
}
