/* Descriptors of each kind, and what can be read from them at the end.
 *
 * What a read takes away is read by the process that put it there, once all have checked.
 */
#ifndef COMPOSED_DESCRIPTORS_H
#define COMPOSED_DESCRIPTORS_H

#include "composed.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/xattr.h>
#include <termios.h>

/* What can be seen of a descriptor without taking anything. */
struct looks {
	int64_t mode, size, links, offset, flags, cloexec, ready, waiting, contents;
};

struct number {
	bool open;
	int birth;
	int messages, size, seed; /* that a read of this process will find */
	uint64_t value; /* of an eventfd */
	void (*consume)(int fd, const struct number *it);
	int sent, sent_birth; /* the number that is in flight to this one */
	struct looks at_rest;
};

static struct number numbers[NUMBERS];

static bool shares_numbers; /* with another process, which does not know what is done here */

static int keep(int fd)
{
	static int births;
	if (fd >= 0 && fd < NUMBERS)
		numbers[fd] = (struct number){.open = true, .birth = ++births};
	return fd;
}

static void consume_messages(int fd, const struct number *it);

static void expect(int fd, int messages, int size, int seed)
{
	if (fd >= 0 && fd < NUMBERS) {
		numbers[fd].consume = messages ? consume_messages : NULL;
		numbers[fd].messages = messages;
		numbers[fd].size = size;
		numbers[fd].seed = seed;
	}
}

/* The n-th number that is open, or -1. */
static int open_number(int n)
{
	int found[NUMBERS], count = 0;
	for (int fd = 3; fd < NUMBERS; fd++)
		if (numbers[fd].open)
			found[count++] = fd;
	return count ? found[(unsigned)n % (unsigned)count] : -1;
}

static const int OPEN_FLAGS[] = {
	O_RDWR, O_RDONLY, O_WRONLY, O_RDWR | O_APPEND, O_RDWR | O_NONBLOCK, O_RDWR | O_SYNC,
	O_RDWR | O_DSYNC, O_RDONLY | O_NOATIME, O_RDWR | O_CLOEXEC, O_RDWR | O_NOFOLLOW, O_PATH,
	O_RDWR | O_DIRECT, O_RDONLY | O_NONBLOCK | O_CLOEXEC, O_RDWR | O_ASYNC, O_RDWR | O_NOCTTY,
};
enum fate {
	STAYS, IS_REMOVED, IS_RENAMED, IS_REPLACED, HAS_LINK, LIVES_BY_LINK, READ_ONLY, HAS_HOLE, SHRINKS,
	IS_IN_REMOVED_DIRECTORY, FATES
};

/* file FLAGS FATE SIZE SEED OFFSET: a file, and what became of its name since. */
static void do_file(const int *a)
{
	static const char *const NAMES[] = {"file", "a (deleted)", "line\\012\n", "sp ace\t", "\xff\xfe"};
	char name[32], other[40], directory[32];
	enum fate fate = (unsigned)a[1] % FATES;
	size_t size = (unsigned)a[2] % 9000;
	new_name(name, pick_from(NAMES, a[3]));
	new_name(directory, "directory");
	int back = open(".", O_PATH | O_DIRECTORY);
	if (fate == IS_IN_REMOVED_DIRECTORY && (mkdir(directory, 0755) || chdir(directory)))
		fate = STAYS;
	close(new_file(name, size, a[3], 0644));
	int fd = keep(open(name, pick_from(OPEN_FLAGS, a[0])));
	if (fd >= 0 && a[4] % 3)
		lseek(fd, a[4] % 10000, SEEK_SET);
	snprintf(other, sizeof other, "%s.new", name);
	if (fate == IS_REMOVED || fate == IS_IN_REMOVED_DIRECTORY)
		unlink(name);
	if (fate == IS_RENAMED || fate == IS_REPLACED)
		rename(name, other);
	if (fate == IS_REPLACED)
		close(new_file(name, size, a[3] + 1, 0644));
	if (fate == HAS_LINK || fate == LIVES_BY_LINK)
		if (link(name, other) == 0 && fate == LIVES_BY_LINK)
			unlink(name);
	if (fate == READ_ONLY)
		chmod(name, 0444);
	if (fate == HAS_HOLE && truncate(name, (off_t)size + 5 * PAGE))
		return;
	if (fate == SHRINKS && truncate(name, (off_t)size / 2))
		return;
	if (fate == IS_IN_REMOVED_DIRECTORY && fchdir(back) == 0)
		rmdir(directory);
	close(back);
}

static void do_special(const int *a)
{
	static const char *const PATHS[] = {
		"/dev/null", "/dev/zero", "/dev/urandom", "/dev/full", "/proc/self/status", "/proc/self",
		"/proc/self/fd", "/etc/passwd", "/usr", "/proc/self/maps", "/proc/meminfo", "/dev",
	};
	char name[32];
	new_name(name, "special");
	switch ((unsigned)a[0] % 8) {
	case 0: /* a directory, removed or not */
		mkdir(name, 0700);
		keep(open(name, O_RDONLY | O_DIRECTORY));
		if (a[1] % 2)
			rmdir(name);
		return;
	case 1: /* a symbolic link itself */
		if (symlink("nowhere", name) == 0)
			keep(open(name, O_PATH | O_NOFOLLOW));
		return;
	case 2: /* no name from birth */
		if (write(keep(open(".", O_TMPFILE | O_RDWR, 0600)), "nameless", 8) != 8)
			return;
		return;
	case 3: /* a fifo; its ends by turns */
		if (mkfifo(name, 0600))
			return;
		int fd = keep(open(name, O_RDWR | (a[1] & 1 ? O_NONBLOCK : 0)));
		if (a[1] & 2)
			keep(open(name, O_WRONLY));
		if (a[1] & 4)
			keep(open(name, O_RDONLY));
		if (write(fd, "in the fifo", 11) != 11 || a[1] & 8)
			unlink(name);
		return;
	default:
		keep(open(pick_from(PATHS, a[1]), a[1] % 4 == 3 ? O_PATH : O_RDONLY));
	}
}

/* pipe FLAGS MESSAGES SIZE CLOSED CAPACITY */
static void do_pipe(const int *a)
{
	int ends[2];
	char data[3000];
	int flags = (a[0] & 1 ? O_DIRECT : 0) | (a[0] & 2 ? O_CLOEXEC : 0);
	int size = 1 + a[2] % 2999, messages = a[1] % 8;
	if (pipe2(ends, flags | O_NONBLOCK))
		return;
	keep(ends[0]);
	keep(ends[1]);
	if (a[4] % 3)
		fcntl(ends[1], F_SETPIPE_SZ, PAGE << a[4] % 6);
	fill(data, sizeof data, a[0]);
	int sent = 0;
	while (sent < messages && write(ends[1], data, (size_t)size) == size)
		sent++;
	expect(ends[0], sent, size, a[0]);
	if (!(a[0] & 4))
		for (int i = 0; i < 2; i++)
			fcntl(ends[i], F_SETFL, i == 0 ? 0 : flags & O_DIRECT);
	if (a[3] % 4 < 2 && !shares_numbers && close(ends[a[3] % 4]) == 0 &&
	    ends[a[3] % 4] < NUMBERS)
		numbers[ends[a[3] % 4]] = (struct number){0};
}

static void consume_value(int fd, const struct number *it)
{
	uint64_t value;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	ssize_t n = read(fd, &value, sizeof value);
	if (n != (it->value ? 8 : -1) || (n == 8 && value != it->value))
		zt_fail("process %d: the eventfd %d has another value", (int)getpid(), fd);
}

/* event KIND VALUE: descriptors that tell of something. */
static void do_event(const int *a)
{
	struct itimerspec later = {.it_value.tv_sec = 100000 + a[1], .it_interval.tv_sec = a[1] % 5};
	static const int CLOCKS[] = {CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_BOOTTIME};
	int fd, semaphore = a[1] % 2 ? EFD_SEMAPHORE : 0;
	sigset_t set;
	switch ((unsigned)a[0] % 6) {
	case 0:
		fd = keep(eventfd((unsigned)a[1] % 100, semaphore | (a[1] & 2 ? EFD_NONBLOCK : 0)));
		if (fd >= 0 && fd < NUMBERS && !semaphore) {
			numbers[fd].value = (unsigned)a[1] % 100;
			numbers[fd].consume = consume_value;
		}
		return;
	case 1:
		fd = keep(timerfd_create(pick_from(CLOCKS, a[1]), a[1] & 8 ? TFD_NONBLOCK : 0));
		if (a[1] & 16)
			timerfd_settime(fd, 0, &later, NULL);
		return;
	case 2:
		sigemptyset(&set);
		sigaddset(&set, SIGUSR1);
		sigaddset(&set, SIGRTMIN + a[1] % 5);
		keep(signalfd(-1, &set, a[1] & 1 ? SFD_NONBLOCK : 0));
		return;
	case 3:
		fd = memfd_create("sealed", MFD_ALLOW_SEALING | (a[1] & 1 ? MFD_CLOEXEC : 0));
		if (write(keep(fd), "sealed contents", 15) == 15)
			fcntl(fd, F_ADD_SEALS, a[1] >> 1 & 15);
		return;
	default:
		fd = epoll_create1(a[1] & 1 ? EPOLL_CLOEXEC : 0);
		static const unsigned EVENTS[] = {EPOLLIN, EPOLLOUT, EPOLLIN | EPOLLOUT, EPOLLRDHUP, 0,
						  EPOLLIN | EPOLLET, EPOLLOUT | EPOLLONESHOT};
		for (int i = 0; i < a[1] % 5; i++) {
			struct epoll_event event = {pick_from(EVENTS, a[1] + i), {.u64 = (unsigned)i << 20}};
			epoll_ctl(fd, EPOLL_CTL_ADD, open_number(a[1] / 5 + i), &event);
		}
		keep(fd);
	}
}

static void do_pty(const int *a)
{
	char name[64];
	int master = keep(posix_openpt(O_RDWR | O_NOCTTY | (a[0] & 1 ? O_NONBLOCK : 0)));
	if (master < 0 || unlockpt(master) || ptsname_r(master, name, sizeof name))
		return;
	int slave = keep(open(name, O_RDWR | O_NOCTTY));
	struct winsize size = {.ws_row = (unsigned short)a[1], .ws_col = 80};
	ioctl(master, TIOCSWINSZ, &size);
	int shown = 0, wanted = 0; /* a terminal hands on in its own time, echo too */
	if (a[0] & 2)
		wanted += write(slave, "output\n", 7) == 7 ? 8 : 0;
	if (a[0] & 4)
		wanted += write(master, a[1] % 2 ? "typed\n" : "typ", a[1] % 2 ? 6 : 3) + a[1] % 2;
	until(ioctl(master, FIONREAD, &shown) || shown == wanted);
	if (a[0] & 8) {
		signal(SIGHUP, SIG_IGN); /* or its end ends us */
		setsid();
		ioctl(slave, TIOCSCTTY, 0);
	}
}

/* tty NUMBER WHAT VALUE: of a terminal that is open, or of anything */
static void do_tty(const int *a)
{
	static const tcflag_t LOCAL[] = {ICANON, ECHO, ISIG, IEXTEN, ECHOCTL, TOSTOP, NOFLSH};
	struct termios termios;
	struct winsize size = {.ws_row = 1, .ws_col = (unsigned short)a[2], .ws_xpixel = 7};
	int on = a[2] & 1, fd = open_number(a[0]);
	for (int i = 0; i < NUMBERS && !isatty(fd); i++)
		fd = open_number(i);
	switch ((unsigned)a[1] % 7) {
	case 0:
		if (tcgetattr(fd, &termios))
			return;
		termios.c_lflag ^= pick_from(LOCAL, a[2]);
		termios.c_cc[VMIN] = (cc_t)(1 + a[2] % 3);
		termios.c_iflag ^= a[2] & 8 ? IXON | ICRNL : 0;
		termios.c_oflag ^= a[2] & 16 ? ONLCR : 0;
		tcsetattr(fd, TCSANOW, &termios);
		return;
	case 1:
		ioctl(fd, TIOCPKT, &on);
		return;
	case 2:
		ioctl(fd, on ? TIOCEXCL : TIOCNXCL);
		return;
	case 3:
		ioctl(fd, TIOCSWINSZ, &size);
		return;
	case 4:
		tcflow(fd, on ? TCOOFF : TCOON);
		return;
	case 5:
		ioctl(fd, TIOCSPTLCK, &on);
		return;
	default:
		signal(SIGTTOU, SIG_IGN);
		tcsetpgrp(fd, getpgrp());
	}
}

static void do_dup(const int *a)
{
	int fd = open_number(a[0]), to = 3 + (unsigned)a[2] % (NUMBERS - 3);
	char path[32];
	if (fd < 0)
		return;
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	switch ((unsigned)a[1] % 4) {
	case 0:
		keep(dup(fd));
		return;
	case 1:
		if (!numbers[to].open && !shares_numbers)
			keep(dup3(fd, to, to != fd && a[2] % 2 ? O_CLOEXEC : 0));
		return;
	case 2:
		keep(open(path, O_RDONLY | O_NONBLOCK));
		return;
	default:
		keep(open(path, O_PATH));
	}
}

static void do_close(const int *a)
{
	int fd = open_number(a[0]);
	if (fd >= 0 && !shares_numbers && close(fd) == 0)
		numbers[fd] = (struct number){0};
}

static void do_fcntl(const int *a)
{
	static const int LOCKS[] = {F_RDLCK, F_WRLCK};
	struct flock lock = {.l_type = (short)pick_from(LOCKS, a[2]), .l_start = a[2], .l_len = a[2] % 7};
	int fd = open_number(a[0]);
	if (fd < 0)
		return;
	switch ((unsigned)a[1] % 12) {
	case 0:
		fcntl(fd, F_SETFD, a[2] & 1);
		return;
	case 1:
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) ^ (a[2] & 1 ? O_NONBLOCK : O_APPEND));
		return;
	case 2:
		fcntl(fd, F_SETOWN, a[2] & 1 ? getpid() : -getpgrp());
		fcntl(fd, F_SETSIG, a[2] & 2 ? SIGRTMIN + 2 : 0);
		return;
	case 3:
		lseek(fd, a[2], SEEK_SET);
		return;
	case 4:
		fcntl(fd, F_SETLK, &lock);
		return;
	case 5:
		fcntl(fd, F_OFD_SETLK, &lock);
		return;
	case 6:
		flock(fd, (a[2] & 1 ? LOCK_SH : LOCK_EX) | LOCK_NB);
		return;
	case 7:
		if (ftruncate(fd, a[2]))
			return;
		return;
	case 8:
		futimens(fd, (struct timespec[]){{1000 + a[2], a[2]}, {2000 + a[2], 7}});
		return;
	case 9:
		fsetxattr(fd, "user.composed", &a[2], sizeof a[2], 0);
		return;
	case 10:
		fallocate(fd, FALLOC_FL_KEEP_SIZE | (a[2] & 1 ? FALLOC_FL_PUNCH_HOLE : 0), a[2] / 3,
			  a[2]);
		return;
	default:
		fchmod(fd, (mode_t)(0400 | (a[2] & 0377)));
	}
}

static void do_pidfd(pid_t pid, bool of_thread)
{
	keep((int)syscall(SYS_pidfd_open, pid, of_thread ? O_EXCL : 0));
}

static struct looks look_at_number(int fd)
{
	struct stat status;
	struct pollfd polled = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
	int waiting = -1;
	_Alignas(PAGE) char data[3 * PAGE]; /* with O_DIRECT nothing else is read */
	if (fstat(fd, &status) || (S_ISCHR(status.st_mode) && !isatty(fd)))
		return (struct looks){0};
	ioctl(fd, FIONREAD, &waiting);
	poll(&polled, 1, 0);
	struct looks looks = {status.st_mode, status.st_size, (int64_t)status.st_nlink,
			      lseek(fd, 0, SEEK_CUR), fcntl(fd, F_GETFL), fcntl(fd, F_GETFD),
			      polled.revents, waiting, 0};
	if (S_ISREG(status.st_mode) && status.st_size > 0) {
		ssize_t n = pread(fd, data, sizeof data, 0);
		looks.contents = (int64_t)hashed(0xcbf29ce484222325, data, n > 0 ? (size_t)n : 0);
	}
	return looks;
}

static void settle_descriptors(void)
{
	for (int fd = 3; fd < NUMBERS; fd++)
		if (numbers[fd].open)
			numbers[fd].at_rest = look_at_number(fd);
}

static void check_descriptors(void)
{
	static const char *const NAMES[] = {"mode", "size", "links", "offset", "flags", "FD_CLOEXEC",
					    "events", "bytes to read", "contents"};
	for (int fd = 3; fd < NUMBERS; fd++) {
		if (!numbers[fd].open)
			continue;
		struct looks now = look_at_number(fd);
		const int64_t *is = &now.mode, *was = &numbers[fd].at_rest.mode;
		for (size_t i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
			if (is[i] != was[i])
				zt_fail("process %d: the %s of fd %d are %#lx, were %#lx", (int)getpid(),
					NAMES[i], fd, (long)is[i], (long)was[i]);
	}
}

static void consume_messages(int fd, const struct number *it)
{
	char data[8 * 3000], wanted[8 * 3000];
	int want = it->messages * it->size, got = 0;
	for (int i = 0; i < it->messages; i++)
		fill(wanted + i * it->size, (size_t)it->size, it->seed);
	fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
	for (int tries = 0; got < want && tries < it->messages + 2; tries++) {
		ssize_t n = read(fd, data + got, (size_t)(want - got)); /* ECONNRESET comes first */
		got += n > 0 ? (int)n : 0;
	}
	if (got != want || memcmp(data, wanted, (size_t)want))
		zt_fail("process %d: fd %d gave %d bytes, of %d", (int)getpid(), fd, got, want);
}

static void consume_descriptors(void)
{
	for (int fd = 3; fd < NUMBERS; fd++)
		if (numbers[fd].open && numbers[fd].consume)
			numbers[fd].consume(fd, &numbers[fd]);
}

/* A child reads nothing that its parent will read. */
static void inherit_descriptors(void)
{
	for (int fd = 0; fd < NUMBERS; fd++)
		numbers[fd].consume = NULL;
}

#endif
