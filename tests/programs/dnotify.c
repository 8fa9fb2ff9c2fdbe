/* Directories that raise signals (F_NOTIFY): what for, by which descriptor and signal, also after it was asked for
 * twice; those that are watched no more, and one that a child has open and does not watch. */
#include "zt_test.h"

#include <signal.h>

enum { SIGNAL = 38 };

static sigset_t set;

static int watch(const char *name, long mask)
{
	zt_must(mkdir(name, 0700));
	int fd = zt_must(open(name, O_RDONLY | O_DIRECTORY));
	zt_must(fcntl(fd, F_SETSIG, SIGNAL));
	zt_must(fcntl(fd, F_NOTIFY, mask | DN_MULTISHOT));
	return fd;
}

static void make(const char *path)
{
	zt_must(close(zt_must(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600))));
}

static void told(int fd)
{
	siginfo_t info;
	zt_same(sigtimedwait(&set, &info, &(struct timespec){20, 0}), SIGNAL);
	zt_same(info.si_fd, fd);
}

static void told_no_more(void)
{
	sigset_t pending;
	zt_must(sigpending(&pending));
	zt_check(!sigismember(&pending, SIGNAL));
	zt_check(!sigismember(&pending, SIGIO));
}

int main(void)
{
	sigemptyset(&set);
	sigaddset(&set, SIGNAL);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));

	int made = watch("made", DN_CREATE);
	make("made/before");
	told(made);
	int both = watch("both", DN_DELETE);
	zt_must(fcntl(both, F_NOTIFY, DN_ATTRIB | DN_MULTISHOT));
	make("both/one");
	make("both/two");
	int off = watch("off", DN_CREATE);
	zt_must(fcntl(off, F_NOTIFY, 0));
	int closed = watch("closed", DN_CREATE);
	zt_must(close(closed));
	zt_same(open("closed", O_RDONLY | O_DIRECTORY), closed);
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_wait_go();
		told_no_more();
		_exit(0);
	}
	int waits = watch("waits", DN_CREATE);
	make("waits/one");

	zt_ready();

	told(waits);
	told_no_more();
	make("made/one");
	told(made);
	make("made/two");
	told(made);
	zt_must(unlink("made/one"));
	zt_must(chmod("both/one", 0400));
	told(both);
	zt_must(unlink("both/two"));
	told(both);
	make("both/four");
	make("off/one");
	make("closed/one");
	told_no_more();
	zt_must(close(made));
	make("made/four");
	told_no_more();
	zt_join(child);
	return zt_pass();
}
