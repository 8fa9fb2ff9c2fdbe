/* Leases of files (F_SETLEASE): of readers and of a writer, of a removed file, shared with a child, being broken,
 * and one that a child waits for in open(2): who breaks them is held up, and their holder is told once. */
#include "zt_test.h"

#include <signal.h>
#include <sys/prctl.h>

enum { SIGNAL_OF_READERS = 36, SIGNAL_OF_WRITERS = 37 };

static int make(const char *name, int flags, int signal)
{
	int fd = zt_must(open(name, O_RDWR | O_CREAT | O_EXCL, 0600));
	zt_writes(fd, "0123456789");
	zt_must(close(fd));
	fd = zt_must(open(name, flags));
	zt_must(lseek(fd, 3, SEEK_SET));
	if (signal)
		zt_must(fcntl(fd, F_SETSIG, signal));
	return fd;
}

static void held_up(const char *name, int flags)
{
	int fd = open(name, flags | O_NONBLOCK), error = errno;
	zt_same(fd, -1);
	zt_same(error, EWOULDBLOCK);
}

static void told(int signal, int fd)
{
	sigset_t set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, signal);
	zt_must(sigwaitinfo(&set, &info));
	zt_same(info.si_fd, fd);
}

static void told_no_more(void)
{
	sigset_t set;
	zt_must(sigpending(&set));
	zt_check(!sigismember(&set, SIGIO));
	zt_check(!sigismember(&set, SIGNAL_OF_READERS));
	zt_check(!sigismember(&set, SIGNAL_OF_WRITERS));
}

static void is_asleep(pid_t child)
{
	char path[64], line[512], state = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
	for (int i = 0; i < 1000 && state != 'S'; i++) {
		zt_sleep_ns(5 * ZT_MS);
		int fd = zt_must(open(path, O_RDONLY));
		ssize_t n = zt_must(read(fd, line, sizeof line - 1));
		line[n] = 0;
		zt_must(close(fd));
		state = strrchr(line, ')')[2];
	}
	zt_same(state, 'S');
}

int main(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGNAL_OF_READERS);
	sigaddset(&set, SIGNAL_OF_WRITERS);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));

	int reader = make("reader", O_RDONLY, SIGNAL_OF_READERS);
	zt_must(fcntl(reader, F_SETLEASE, F_RDLCK));
	int other = zt_must(open("reader", O_RDONLY));
	zt_must(fcntl(other, F_SETLEASE, F_RDLCK));
	zt_must(fcntl(other, F_SETOWN, 0));
	int writer = make("writer", O_RDWR, SIGNAL_OF_WRITERS);
	zt_must(fcntl(writer, F_SETLEASE, F_WRLCK));
	int again = zt_must(dup(writer));
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 2, .l_len = 3};
	zt_must(fcntl(writer, F_OFD_SETLK, &lock));
	int removed = make("removed", O_RDWR, SIGNAL_OF_WRITERS);
	zt_must(fcntl(removed, F_SETLEASE, F_WRLCK));
	zt_must(unlink("removed"));
	int plain = make("plain", O_WRONLY, 0);
	zt_must(fcntl(plain, F_SETLEASE, F_WRLCK));

	int shared_down = make("down", O_RDWR, SIGNAL_OF_WRITERS);
	zt_must(fcntl(shared_down, F_SETLEASE, F_WRLCK));
	held_up("down", O_RDONLY);
	told(SIGNAL_OF_WRITERS, shared_down);
	int gone = make("gone", O_RDONLY, SIGNAL_OF_WRITERS);
	zt_must(fcntl(gone, F_SETLEASE, F_WRLCK));
	held_up("gone", O_WRONLY);
	told(SIGNAL_OF_WRITERS, gone);

	int waited = make("waited", O_RDONLY, SIGNAL_OF_READERS);
	zt_must(fcntl(waited, F_SETLEASE, F_RDLCK));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_must(prctl(PR_SET_PDEATHSIG, SIGKILL));
		zt_must(close(writer));
		zt_must(close(again));
		int fd = zt_must(open("waited", O_WRONLY)); /* waits */
		zt_writes(fd, "child");
		_exit(0);
	}
	told(SIGNAL_OF_READERS, waited);
	is_asleep(child);
	int untold = make("untold", O_RDONLY, SIGNAL_OF_READERS);
	zt_must(fcntl(untold, F_SETLEASE, F_RDLCK));
	held_up("untold", O_WRONLY);

	zt_ready();

	zt_same(fcntl(reader, F_GETLEASE), F_RDLCK);
	zt_same(fcntl(other, F_GETLEASE), F_RDLCK);
	zt_same(fcntl(other, F_GETOWN), 0);
	zt_same(fcntl(writer, F_GETLEASE), F_WRLCK);
	zt_same(fcntl(removed, F_GETLEASE), F_WRLCK);
	zt_same(fcntl(plain, F_GETLEASE), F_WRLCK);
	zt_same(fcntl(plain, F_GETOWN), getpid());
	zt_same(fcntl(shared_down, F_GETLEASE), F_RDLCK);
	zt_same(fcntl(gone, F_GETLEASE), F_UNLCK);
	told(SIGNAL_OF_READERS, untold);
	told_no_more();

	zt_reads(writer, "3456789");
	zt_same(lseek(again, 0, SEEK_CUR), 10);
	zt_reads(removed, "3456789");
	zt_writes(plain, "plain");

	held_up("reader", O_WRONLY);
	told(SIGNAL_OF_READERS, reader);
	zt_must(fcntl(other, F_SETLEASE, F_UNLCK));
	zt_must(fcntl(reader, F_SETLEASE, F_UNLCK));
	zt_must(close(zt_must(open("reader", O_WRONLY | O_NONBLOCK))));

	held_up("writer", O_RDONLY);
	told(SIGNAL_OF_WRITERS, writer);
	zt_must(fcntl(again, F_SETLEASE, F_UNLCK));
	int fresh = zt_must(open("writer", O_RDWR | O_NONBLOCK));
	zt_same(fcntl(fresh, F_OFD_SETLK, &lock), -1);
	zt_must(close(writer));
	zt_must(close(again));
	zt_must(fcntl(fresh, F_OFD_SETLK, &lock));

	held_up("down", O_RDONLY); /* it waits for the holder still, who is not told again */
	held_up("gone", O_RDONLY);
	told_no_more();
	zt_same(fcntl(shared_down, F_SETLEASE, F_UNLCK), 0);
	zt_must(fcntl(gone, F_SETLEASE, F_UNLCK));
	zt_must(close(zt_must(open("gone", O_WRONLY | O_NONBLOCK))));

	zt_same(waitpid(child, NULL, WNOHANG), 0);
	zt_must(fcntl(waited, F_SETLEASE, F_UNLCK));
	zt_join(child);
	zt_must(lseek(waited, 0, SEEK_SET));
	zt_reads(waited, "child56789");
	told_no_more();
	return zt_pass();
}
