/* Processes that shared descriptors and a working directory with their parent, and do so no more since
 * unshare(2). One keeps the directory in common. */
#include "zt_test.h"

#include <sched.h>
#include <sys/syscall.h>

enum { BOTH, FILES, COUNT };

static int up[2], go[COUNT][2];

/* A child that ends with status 0 if it found all right. */
static pid_t make(int which, int said)
{
	pid_t child = zt_must((pid_t)syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, 0, 0, 0, 0));
	if (child)
		return child;
	zt_must(unshare(which == BOTH ? CLONE_FILES | CLONE_FS : CLONE_FILES));
	zt_must(close(said));
	if (which == BOTH) {
		zt_must(chdir("/"));
		umask(0);
	}
	zt_writes(up[1], "r");
	char byte, path[64];
	zt_same(read(go[which][0], &byte, 1), 1);
	zt_same(fcntl(said, F_GETFD), -1);
	zt_check(getcwd(path, sizeof path));
	zt_check(!strcmp(path, which == BOTH ? "/" : "/proc"));
	zt_same(umask(0), which == BOTH ? 0 : 027);
	_exit(0);
}

int main(void)
{
	pid_t children[COUNT];
	int said = zt_must(dup(1));
	char byte, path[64];
	umask(022);
	zt_must(pipe(up));
	for (int i = 0; i < COUNT; i++)
		zt_must(pipe(go[i]));
	for (int i = 0; i < COUNT; i++) {
		children[i] = make(i, said);
		zt_same(read(up[0], &byte, 1), 1);
	}
	zt_must(fcntl(said, F_GETFD));
	zt_check(getcwd(path, sizeof path) && strcmp(path, "/"));
	zt_same(unshare(0), 0);

	zt_ready();

	zt_must(fcntl(said, F_GETFD));
	zt_must(chdir("/proc"));
	zt_same(umask(027), 022);
	for (int i = 0; i < COUNT; i++) {
		zt_writes(go[i][1], "g");
		zt_join(children[i]);
	}
	return zt_pass();
}
