/* Terminals whose master was closed: all that is left are ends that have hung up, of a session that
 * lost its terminal with them. */
#include "zt_test.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

static int new_master(void)
{
	int master = zt_must(posix_openpt(O_RDWR | O_NOCTTY));
	zt_must(grantpt(master));
	zt_must(unlockpt(master));
	return master;
}

static void has_hung_up(int fd, int flags, mode_t mode)
{
	char c;
	struct stat status;
	struct termios unused;
	struct pollfd polled = {.fd = fd, .events = POLLIN | POLLOUT};
	zt_same(poll(&polled, 1, 0), 1);
	zt_same(polled.revents, POLLIN | POLLOUT | POLLERR | POLLHUP);
	zt_same(fcntl(fd, F_GETFL) & ~O_NOFOLLOW, flags);
	zt_must(fstat(fd, &status));
	zt_check(S_ISCHR(status.st_mode));
	zt_same(status.st_mode & 07777, mode);
	if ((flags & O_ACCMODE) != O_WRONLY)
		zt_same(read(fd, &c, 1), 0);
	if ((flags & O_ACCMODE) != O_RDONLY) {
		zt_same(write(fd, "x", 1), -1);
		zt_same(errno, EIO);
	}
	zt_same(tcgetattr(fd, &unused), -1);
	zt_same(errno, EIO);
}

/* The leader of a session that has lost its terminal, and lives on. */
static pid_t start_session(int go, int master)
{
	pid_t leader = zt_must(fork());
	if (leader)
		return leader;
	char c;
	signal(SIGHUP, SIG_IGN);
	zt_must(setsid());
	int slave = zt_must(open(ptsname(master), O_RDWR));
	zt_same(tcgetsid(slave), getpid());
	int flags = fcntl(slave, F_GETFL);
	struct stat status;
	zt_must(fstat(slave, &status));
	zt_must(close(master));
	zt_same(write(go, "!", 1), 1);
	zt_same(read(go, &c, 1), 1);
	has_hung_up(slave, flags, status.st_mode & 07777);
	zt_same(tcgetsid(slave), -1);
	zt_same(open("/dev/tty", O_RDWR), -1);
	zt_same(errno, ENXIO);
	_exit(0);
}

int main(void)
{
	enum { FILES = 3 };
	static const int HOW[FILES] = {O_RDWR, O_RDONLY | O_NONBLOCK, O_WRONLY};
	int fds[FILES], flags[FILES], go[2], status;
	char c;
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, go));
	int master = new_master();
	pid_t leader = start_session(go[1], master);
	zt_same(read(go[0], &c, 1), 1);
	zt_must(close(master));
	master = new_master();
	for (int i = 0; i < FILES; i++) {
		fds[i] = zt_must(open(ptsname(master), HOW[i] | O_NOCTTY));
		flags[i] = fcntl(fds[i], F_GETFL);
	}
	zt_must(fchmod(fds[0], 0611));
	zt_must(close(master));
	int watching = zt_must(epoll_create1(0));
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = 7};
	zt_must(epoll_ctl(watching, EPOLL_CTL_ADD, fds[1], &event));

	zt_ready();

	for (int i = 0; i < FILES; i++)
		has_hung_up(fds[i], flags[i], 0611);
	event.data.u32 = 0;
	zt_same(epoll_wait(watching, &event, 1, 0), 1);
	zt_same(event.events, EPOLLIN | EPOLLERR | EPOLLHUP);
	zt_same(event.data.u32, 7);
	zt_same(write(go[0], "!", 1), 1);
	zt_same(waitpid(leader, &status, 0), leader);
	zt_same(status, 0);
	return zt_pass();
}
