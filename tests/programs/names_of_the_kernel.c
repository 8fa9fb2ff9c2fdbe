/* Files whose names look like what the kernel writes into /proc: " (deleted)" at the end, newlines,
 * a backslash and 012. They are mapped and open, some are removed; and so is the working directory's. */
#include "zt_test.h"

#include <sys/mman.h>

#define PAGE 4096

static const char *const NAMES[] = {
	"data (deleted)", "back\\012slash", "new\nline", "both\n\\012", "[heap]", "memfd:x", "a (deleted) (deleted)",
};
enum { N = sizeof NAMES / sizeof *NAMES };

int main(void)
{
	char base[256], dir[300], got[300];
	zt_check(getcwd(base, sizeof base) != NULL);
	snprintf(dir, sizeof dir, "%s/zt_names.%d (deleted)", base, (int)getpid());
	zt_must(mkdir(dir, 0700));
	zt_must(chdir(dir));
	char *map[N];
	int open_fd[N];
	for (int i = 0; i < N; i++) {
		int fd = zt_must(open(NAMES[i], O_RDWR | O_CREAT, 0600));
		zt_must(ftruncate(fd, 2 * PAGE));
		map[i] = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		zt_check(map[i] != MAP_FAILED);
		strcpy(map[i], "before");
		zt_must(close(fd));
		open_fd[i] = zt_must(open(NAMES[i], O_RDONLY));
	}
	/* One that is really removed, and beside it one that has the name that the kernel gives it. */
	int gone = zt_must(open("gone", O_RDWR | O_CREAT, 0600));
	zt_writes(gone, "the removed one");
	zt_must(unlink("gone"));
	int decoy = zt_must(open("gone (deleted)", O_RDWR | O_CREAT, 0600));
	zt_writes(decoy, "the other one");
	int list = zt_must(open(".", O_RDONLY | O_DIRECTORY));

	zt_ready();

	zt_check(getcwd(got, sizeof got) != NULL && strcmp(got, dir) == 0);
	struct stat here, there;
	zt_must(fstat(list, &here));
	zt_must(stat(dir, &there));
	zt_same(here.st_ino, there.st_ino);
	for (int i = 0; i < N; i++) {
		char text[8] = {0};
		strcpy(map[i] + PAGE, "after");
		int fd = zt_must(open(NAMES[i], O_RDONLY));
		zt_same(pread(fd, text, 7, 0), 7);
		zt_check(strcmp(text, "before") == 0);
		zt_same(pread(open_fd[i], text, 6, PAGE), 6);
		zt_check(strcmp(text, "after") == 0);
		zt_must(fstat(fd, &here));
		zt_must(fstat(open_fd[i], &there));
		zt_same(here.st_ino, there.st_ino);
		zt_must(unlink(NAMES[i]));
	}
	zt_must(fstat(gone, &here));
	zt_same(here.st_nlink, 0);
	zt_must(lseek(gone, 0, SEEK_SET));
	zt_reads(gone, "the removed one");
	zt_must(lseek(decoy, 0, SEEK_SET));
	zt_reads(decoy, "the other one");
	zt_must(unlink("gone (deleted)"));
	zt_must(rmdir(dir));
	return zt_pass();
}
