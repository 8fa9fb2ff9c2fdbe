/* Files that are open, or mapped, in a way that their mode forbids now (git writes its objects so). */
#include "zt_test.h"

#include <sys/mman.h>

#define PAGE 4096

static void is_mode(int fd, unsigned mode)
{
	struct stat st;
	zt_must(fstat(fd, &st));
	zt_same(st.st_mode & 07777, mode);
}

int main(void)
{
	char object[64], secret[64], mapped[64], gone[64], closed[64], text[16] = {0};
	int a = zt_file(object, sizeof object, "object");
	zt_writes(a, "one ");
	zt_must(fchmod(a, 0444));
	int b = zt_file(secret, sizeof secret, "secret");
	zt_writes(b, "two");
	zt_must(fchmod(b, 0));
	int c = zt_file(mapped, sizeof mapped, "mapped");
	zt_must(ftruncate(c, PAGE));
	char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, c, 0);
	zt_check(at != MAP_FAILED);
	char *copy = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, c, 0);
	zt_check(copy != MAP_FAILED);
	zt_must(fchmod(c, 0400));
	zt_must(close(c));
	int d = zt_file(gone, sizeof gone, "gone");
	zt_writes(d, "three");
	zt_must(fchmod(d, 0));
	zt_must(unlink(gone));
	snprintf(closed, sizeof closed, "zt_closed.%d", (int)getpid());
	zt_must(mkdir(closed, 0700));
	int e = zt_must(open(closed, O_RDONLY | O_DIRECTORY));
	zt_must(fchmod(e, 0));

	zt_ready();

	zt_writes(a, "two");
	zt_same(pread(a, text, 7, 0), 7);
	zt_check(memcmp(text, "one two", 7) == 0);
	is_mode(a, 0444);
	zt_same(pread(b, text, 3, 0), 3);
	zt_check(memcmp(text, "two", 3) == 0);
	is_mode(b, 0);
	strcpy(at, "mapped");
	zt_check(strcmp(copy, "mapped") == 0);
	c = zt_must(open(mapped, O_RDONLY));
	zt_same(pread(c, text, 7, 0), 7);
	zt_check(strcmp(text, "mapped") == 0);
	is_mode(c, 0400);
	zt_same(pread(d, text, 5, 0), 5);
	zt_check(memcmp(text, "three", 5) == 0);
	is_mode(d, 0);
	is_mode(e, 0);
	zt_must(unlink(object));
	zt_must(unlink(secret));
	zt_must(unlink(mapped));
	zt_must(rmdir(closed));
	return zt_pass();
}
