/* Whom a unix socket tells as its peer: the process that connected, listened or made the pair, also
 * one that has ended since; and what comes later is told right, too. */
#include "zt_test.h"

#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#define ZT_SO_PEERPIDFD 77

static socklen_t address(struct sockaddr_un *ret, const char *what)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(ret->sun_path, sizeof ret->sun_path, "zt_%s", what);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
}

static struct ucred peer_of(int fd)
{
	struct ucred peer;
	socklen_t size = sizeof peer;
	zt_must(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size));
	zt_same(size, sizeof peer);
	return peer;
}

static void tells(int fd, pid_t pid)
{
	struct ucred peer = peer_of(fd);
	gid_t groups[64], own[64];
	socklen_t size = sizeof groups;
	zt_same(peer.pid, pid);
	zt_same(peer.uid, geteuid());
	zt_same(peer.gid, getegid());
	zt_must(getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size));
	int n = zt_must(getgroups(64, own));
	zt_same(size, (size_t)n * sizeof *groups);
	zt_check(memcmp(groups, own, size) == 0);
}

/* By a pidfd, where the kernel has that. */
static void tells_living(int fd, pid_t pid)
{
	int pidfd;
	socklen_t size = sizeof pidfd;
	tells(fd, pid);
	if (getsockopt(fd, SOL_SOCKET, ZT_SO_PEERPIDFD, &pidfd, &size) == -1) {
		zt_same(errno, ENOPROTOOPT);
		return;
	}
	siginfo_t info = {0};
	if (pid == getpid()) {
		zt_must((int)syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
	} else { /* a child of ours: it and no other can be waited for */
		zt_must(waitid((idtype_t)3 /* P_PIDFD */, (id_t)pidfd, &info, WEXITED | WNOHANG | WNOWAIT));
		zt_same(info.si_pid, 0);
	}
	zt_must(close(pidfd));
}

static int connected(const char *what)
{
	struct sockaddr_un at;
	int fd = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(connect(fd, (struct sockaddr *)&at, address(&at, what)));
	return fd;
}

static int listening(const char *what)
{
	struct sockaddr_un at;
	int fd = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(bind(fd, (struct sockaddr *)&at, address(&at, what)));
	zt_must(listen(fd, 5));
	return fd;
}

/* The child of a session's leader that has ended: its own program, executed with what it has open. */
static int of_dead_leader(const int fds[4])
{
	zt_same(write(fds[0], &(pid_t){getpid()}, sizeof(pid_t)), sizeof(pid_t));
	zt_reads(fds[1], "go");
	for (int i = 2; i < 4; i++)
		tells(fds[i], getsid(0));
	zt_check(kill(getsid(0), 0) == -1);
	for (int i = 2; i < 4; i++)
		tells(fds[i], getsid(0));
	zt_writes(fds[2], "to itself");
	zt_reads(fds[3], "to itself");
	zt_writes(fds[1], "good");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		int fds[4];
		for (int i = 0; i < 4; i++)
			fds[i] = atoi(argv[i + 1]);
		return of_dead_leader(fds);
	}
	zt_must(prctl(PR_SET_CHILD_SUBREAPER, 1)); /* grandchildren are ours */
	int listener = listening("mine"), pair[2], by_dead[2], unpaired[2], report[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	zt_must(pipe(report));
	/* Descriptors of sockets that a process makes which then ends: it is the daemon's first process. */
	int channel[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, channel));
	int dead_listener = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	int by_dead_client = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	struct sockaddr_un at;
	zt_must(bind(dead_listener, (struct sockaddr *)&at, address(&at, "dead")));
	pid_t dead = zt_must(fork());
	if (dead == 0) {
		zt_must(listen(dead_listener, 5));
		zt_must(connect(by_dead_client, (struct sockaddr *)&at, address(&at, "mine")));
		_exit(0);
	}
	zt_join(dead);
	int from_dead = zt_must(accept(listener, NULL, NULL));
	/* A process that is a session's number still, and made a pair: its child lives on. */
	pid_t leader = zt_must(fork());
	if (leader == 0) {
		zt_must(setsid());
		zt_must(socketpair(AF_UNIX, SOCK_DGRAM, 0, by_dead));
		pid_t child = zt_must(fork());
		if (child != 0)
			_exit(0);
		char numbers[4][12];
		const int fds[] = {report[1], channel[1], by_dead[0], by_dead[1]};
		for (int i = 0; i < 4; i++)
			snprintf(numbers[i], sizeof numbers[i], "%d", fds[i]);
		zt_must(execl("/proc/self/exe", argv[0], numbers[0], numbers[1], numbers[2], numbers[3], NULL));
	}
	zt_join(leader);
	pid_t grandchild;
	zt_same(read(report[0], &grandchild, sizeof grandchild), sizeof grandchild);
	zt_must(socketpair(AF_UNIX, SOCK_DGRAM, 0, unpaired));
	zt_must(connect(unpaired[0], &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(sa_family_t)));
	close(unpaired[1]);

	int theirs[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, theirs));
	pid_t child = zt_must(fork());
	if (child == 0) {
		int mine = connected("mine"), its = connected("dead");
		tells(mine, getppid());
		tells(its, dead);
		zt_writes(theirs[1], "c");
		zt_reads(theirs[1], "go");
		tells(mine, getppid());
		tells(its, dead);
		zt_writes(mine, "through");
		zt_must(shutdown(mine, SHUT_WR));
		zt_reads(theirs[1], "end");
		_exit(0);
	}
	zt_reads(theirs[0], "c");
	int from_child = zt_must(accept(listener, NULL, NULL));
	int from_child_too = zt_must(accept(dead_listener, NULL, NULL));

	zt_ready();

	tells_living(pair[0], getpid());
	tells_living(pair[1], getpid());
	tells_living(from_child, child);
	tells_living(from_child_too, child);
	tells(from_dead, dead);
	tells(by_dead_client, getpid());
	tells(unpaired[0], getpid());
	zt_check(kill(dead, 0) == -1);
	zt_same(errno, ESRCH);
	tells(from_dead, dead);
	tells(dead_listener, dead);
	tells_living(listener, getpid());
	int early = connected("dead");
	tells(early, dead);
	int late = connected("mine");
	tells_living(late, getpid());
	int from_late = zt_must(accept(listener, NULL, NULL));
	tells_living(from_late, getpid());
	zt_writes(theirs[0], "go");
	zt_reads(from_child, "through");
	zt_reads(from_child, "");
	zt_writes(theirs[0], "end");
	zt_join(child);
	tells(from_child, child);
	zt_writes(channel[0], "go");
	zt_reads(channel[0], "good");
	zt_same(write(unpaired[0], "x", 1), -1);
	zt_same(errno, ENOTCONN);
	zt_must(unlink("zt_mine"));
	zt_must(unlink("zt_dead"));
	return zt_pass();
}
