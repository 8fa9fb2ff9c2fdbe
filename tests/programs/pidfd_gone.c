/* Pidfds of processes that have ended: zombies, and such as were waited for, each in its way. */
#include "zt_pidfd.h"

#include <sys/epoll.h>

/* A child that has ended so: by a signal, or with a status. */
static pid_t ended(int signal, int status)
{
	siginfo_t info;
	pid_t child = zt_must(fork());
	if (child == 0) {
		if (signal)
			raise(signal);
		_exit(status);
	}
	zt_must(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT));
	return child;
}

static void check_gone(int fd, int status, bool told)
{
	struct zt_info info;
	siginfo_t waited;
	zt_same(zt_pidfd_shown(fd), -1);
	zt_check(zt_polled(fd) & POLLIN);
	zt_check(zt_pidfd_kill(fd, 0) == -1 && errno == ESRCH);
	zt_check(waitid(P_PIDFD, (id_t)fd, &waited, WEXITED) == -1);
	zt_same(zt_pidfd_info(fd, ZT_INFO_PID, &info), false);
	zt_same(zt_pidfd_info(fd, ZT_INFO_EXIT, &info), told);
	if (told)
		zt_same(info.exit_code, status);
}

int main(void)
{
	struct zt_info info;
	siginfo_t waited;
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 5};

	pid_t zombie = ended(0, 5);
	int of_zombie = zt_must(zt_pidfd(zombie, 0));

	pid_t first = ended(0, 3), second = ended(SIGKILL, 0);
	int exited = zt_must(zt_pidfd(first, 0)), same = zt_must(zt_pidfd(first, O_NONBLOCK));
	int copy = zt_must(dup(exited)), killed = zt_must(zt_pidfd(second, 0));
	int ep = zt_must(epoll_create1(0));
	zt_must(waitpid(first, NULL, 0));
	zt_must(waitpid(second, NULL, 0));
	zt_must(epoll_ctl(ep, EPOLL_CTL_ADD, killed, &event));
	const int hung_up = zt_polled(exited);
	const bool differ = zt_inodes_differ(exited, killed);
	const bool told = zt_pidfd_info(exited, ZT_INFO_EXIT, &info);
	check_gone(exited, 3 << 8, told);
	check_gone(killed, SIGKILL, told);

	zt_ready();

	check_gone(exited, 3 << 8, told);
	check_gone(same, 3 << 8, told);
	check_gone(copy, 3 << 8, told);
	check_gone(killed, SIGKILL, told);
	zt_same(zt_polled(exited), hung_up);
	zt_same(zt_inode(exited), zt_inode(same));
	zt_same(zt_inodes_differ(exited, killed), differ);
	zt_same(fcntl(same, F_GETFL), O_RDWR | O_NONBLOCK);
	zt_must(fcntl(copy, F_SETFL, O_NONBLOCK));
	zt_same(fcntl(exited, F_GETFL), O_RDWR | O_NONBLOCK);
	zt_same(epoll_wait(ep, &event, 1, 0), 1);
	zt_check(event.data.u64 == 5 && event.events & EPOLLIN);

	/* The zombie can be waited for, once; nothing else can. */
	zt_same(zt_polled(of_zombie), POLLIN);
	zt_same(zt_pidfd_kill(of_zombie, 0), 0);
	zt_must(waitid(P_PIDFD, (id_t)of_zombie, &waited, WEXITED));
	zt_same(waited.si_pid, zombie);
	zt_same(waited.si_status, 5);
	check_gone(of_zombie, 5 << 8, told);
	zt_check(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	return zt_pass();
}
