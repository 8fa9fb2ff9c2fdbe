/* Pidfds of a process that lives on: what they name, that they are shared, that they wait. */
#include "zt_pidfd.h"

#include <linux/sched.h>
#include <sys/epoll.h>

static volatile sig_atomic_t told;

static void on_signal(int signal)
{
	told = signal;
}

static void until(int signal)
{
	while (told != signal)
		nanosleep(&(struct timespec){0, ZT_MS}, NULL);
}

/* Ends with 7 when it is told to; makes the description of `shared` a nonblocking one first. */
static void live(int shared)
{
	until(SIGUSR1);
	zt_must(fcntl(shared, F_SETFL, O_NONBLOCK));
	until(SIGUSR2);
	_exit(7);
}

int main(void)
{
	siginfo_t info;
	struct zt_info seen;
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 42};
	zt_check(signal(SIGUSR1, on_signal) != SIG_ERR && signal(SIGUSR2, on_signal) != SIG_ERR);

	int self = zt_must(zt_pidfd(getpid(), 0));
	int pidfd = -1;
	struct clone_args how = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)&pidfd, .exit_signal = SIGCHLD};
	pid_t child = zt_must((pid_t)syscall(SYS_clone3, &how, sizeof how));
	if (child == 0)
		live(self);
	int copy = zt_must(dup(pidfd)), waiting = zt_must(zt_pidfd(child, O_NONBLOCK));
	int ep = zt_must(epoll_create1(EPOLL_CLOEXEC));
	zt_must(epoll_ctl(ep, EPOLL_CTL_ADD, pidfd, &event));
	zt_same(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	const bool named = zt_pidfd_info(pidfd, ZT_INFO_PID, &seen);
	const bool differ = zt_inodes_differ(self, pidfd);

	zt_ready();

	/* The same process, by every one of them. */
	zt_same(zt_inode(pidfd), zt_inode(waiting));
	zt_same(zt_inodes_differ(self, pidfd), differ);
	zt_same(zt_pidfd_info(pidfd, ZT_INFO_PID, &seen), named);
	if (named) {
		zt_same(seen.pid, child);
		zt_same(seen.tgid, child);
		zt_same(seen.ppid, getpid());
	}
	zt_same(fcntl(pidfd, F_GETFD), FD_CLOEXEC);
	zt_same(fcntl(copy, F_GETFD), 0);
	zt_same(fcntl(pidfd, F_GETFL), O_RDWR);
	zt_same(fcntl(waiting, F_GETFL), O_RDWR | O_NONBLOCK);
	zt_same(zt_polled(pidfd), 0);
	zt_same(epoll_wait(ep, &event, 1, 0), 0);
	zt_check(waitid(P_PIDFD, (id_t)waiting, &info, WEXITED) == -1 && errno == EAGAIN);
	zt_check(zt_pidfd(child + 100000, 0) == -1 && errno == ESRCH);

	/* One description is shared by both processes still, another is not. */
	zt_must(zt_pidfd_kill(copy, SIGUSR1));
	while (!(fcntl(self, F_GETFL) & O_NONBLOCK))
		zt_sleep_ns(ZT_MS);
	zt_same(fcntl(pidfd, F_GETFL), O_RDWR);

	zt_must(zt_pidfd_kill(waiting, SIGUSR2));
	zt_same(epoll_wait(ep, &event, 1, 20000), 1);
	zt_check(event.data.u64 == 42 && event.events == EPOLLIN);
	zt_same(zt_polled(waiting), POLLIN);
	zt_must(waitid(P_PIDFD, (id_t)copy, &info, WEXITED));
	zt_same(info.si_pid, child);
	zt_same(info.si_code, CLD_EXITED);
	zt_same(info.si_status, 7);
	zt_check(zt_pidfd_kill(pidfd, 0) == -1 && errno == ESRCH);
	zt_same(zt_pidfd_kill(self, 0), 0);
	return zt_pass();
}
