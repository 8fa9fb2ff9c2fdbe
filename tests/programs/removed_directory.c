/* A directory that was removed while it was the working directory of two processes and open in one:
 * still removed, and still one and the same. */
#include "zt_test.h"

#include <sys/syscall.h>

int main(void)
{
	char path[64], gone[64], got[512];
	int home = zt_must(open(".", O_RDONLY | O_DIRECTORY));
	snprintf(path, sizeof path, "zt_away.%d", (int)getpid());
	snprintf(gone, sizeof gone, "zt_gone.%d", (int)getpid());
	zt_must(mkdir(path, 0750));
	zt_must(mkdir(gone, 0700));
	int fd = zt_must(open(path, O_RDONLY | O_DIRECTORY));
	int by_path = zt_must(open(path, O_PATH));
	int other = zt_must(open(gone, O_RDONLY | O_DIRECTORY | O_NOFOLLOW));
	zt_must(rmdir(gone));
	zt_must(chdir(path));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_wait_go();
		struct stat here, there;
		zt_must(stat(".", &here));
		zt_must(fstat(fd, &there));
		zt_same(here.st_ino, there.st_ino);
		_exit(0);
	}
	zt_must(fchdir(home));
	int tell[2];
	char byte;
	zt_must(pipe(tell));
	pid_t alone = zt_must(fork());
	if (alone == 0) { /* nothing but its working directory leads there */
		char only[64];
		snprintf(only, sizeof only, "zt_only.%d", (int)getpid());
		zt_must(mkdir(only, 0711));
		zt_must(chdir(only));
		zt_must(unlinkat(home, only, AT_REMOVEDIR));
		zt_same(write(tell[1], "r", 1), 1);
		zt_wait_go();
		struct stat st;
		zt_must(stat(".", &st));
		zt_same(st.st_nlink, 0);
		zt_same(st.st_mode & 07777, 0711);
		_exit(0);
	}
	zt_same(read(tell[0], &byte, 1), 1);
	zt_must(fchdir(fd));
	zt_must(unlinkat(home, path, AT_REMOVEDIR));
	struct stat before;
	zt_must(stat(".", &before));

	zt_ready();

	zt_check(syscall(SYS_getcwd, got, sizeof got) == -1 && errno == ENOENT);
	struct stat here, there, third;
	zt_must(stat(".", &here));
	zt_must(fstat(fd, &there));
	zt_must(fstat(by_path, &third));
	zt_same(here.st_ino, there.st_ino);
	zt_same(here.st_ino, third.st_ino);
	zt_same(here.st_nlink, before.st_nlink);
	zt_same(here.st_mode, before.st_mode);
	zt_check(open("x", O_CREAT | O_WRONLY, 0600) == -1 && errno == ENOENT);
	zt_must(fstat(other, &third));
	zt_check(third.st_ino != here.st_ino);
	zt_join(child);
	zt_join(alone);
	return zt_pass();
}
