/* Connections that wait to be accepted, in one queue: clients that have sent something, a descriptor too, that were
 * closed or killed, with something unread or nothing, and that live and have sent nothing. */
#include "zt_unaccepted.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

static pid_t killed_client(const struct sockaddr_un *to, socklen_t size, const struct sockaddr_un *named,
			   socklen_t named_size, int beside)
{
	int said[2];
	zt_must(pipe(said));
	pid_t child = zt_must(fork());
	if (child == 0) {
		int fd = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
		zt_must(bind(fd, (const struct sockaddr *)named, named_size));
		zt_must(connect(fd, (const struct sockaddr *)to, size));
		zt_same(zt_send_beside(fd, "from the dead", 13, SCM_RIGHTS, &beside, sizeof beside, 0), 13);
		zt_writes(said[1], "s");
		for (;;)
			pause();
	}
	zt_reads(said[0], "s");
	zt_must(kill(child, SIGKILL));
	zt_same(zt_must(waitpid(child, NULL, 0)), child);
	zt_must(close(said[0]));
	zt_must(close(said[1]));
	return child;
}

int main(void)
{
	struct sockaddr_un at, dead_at, half_at, found;
	const socklen_t size = zt_unix_address(&at, "waiting", false);
	const socklen_t dead_size = zt_unix_address(&dead_at, "dead", true);
	const socklen_t half_size = zt_unix_address(&half_at, "half", false);
	socklen_t found_size = sizeof found;
	int ends[2], listener = zt_listens(SOCK_STREAM, &at, size, 8), unread, unsent;
	zt_must(pipe(ends));

	int first = zt_connects(SOCK_STREAM, &at, size);
	zt_writes(first, "first");
	const pid_t dead = killed_client(&at, size, &dead_at, dead_size, ends[0]);
	zt_must(close(ends[0]));
	zt_must(close(zt_connects(SOCK_STREAM, &at, size)));
	int silent = zt_connects(SOCK_STREAM, &at, size);
	int half = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(bind(half, (struct sockaddr *)&half_at, half_size));
	zt_must(connect(half, (struct sockaddr *)&at, size));
	zt_writes(half, "half");
	zt_must(shutdown(half, SHUT_WR));
	zt_must(ioctl(first, SIOCOUTQ, &unsent));
	zt_check(unsent > 0);

	zt_ready();

	struct pollfd readable = {listener, POLLIN, 0};
	zt_same(poll(&readable, 1, 0), 1);
	int late = zt_connects(SOCK_STREAM, &at, size);
	zt_writes(late, "late");
	const int lowest = zt_must(dup(listener));
	zt_must(close(lowest));
	int to_first = zt_must(accept4(listener, (struct sockaddr *)&found, &found_size, SOCK_NONBLOCK | SOCK_CLOEXEC));
	zt_same(to_first, lowest);
	zt_same(found_size, sizeof found.sun_family);
	zt_same(fcntl(to_first, F_GETFD), FD_CLOEXEC);
	zt_same(fcntl(to_first, F_GETFL), O_RDWR | O_NONBLOCK);
	zt_same(zt_peer_of(to_first), getpid());
	zt_must(ioctl(to_first, FIONREAD, &unread));
	zt_same(unread, 5);
	int now;
	zt_must(ioctl(first, SIOCOUTQ, &now));
	zt_same(now, unsent);
	zt_reads(to_first, "first");
	zt_through(first, to_first, "more");
	zt_through(to_first, first, "and back");

	found_size = sizeof found;
	int to_dead = zt_must(accept(listener, (struct sockaddr *)&found, &found_size));
	zt_same(fcntl(to_dead, F_GETFD), 0);
	zt_same(fcntl(to_dead, F_GETFL), O_RDWR);
	zt_same(found_size, dead_size);
	zt_check(memcmp(&found, &dead_at, dead_size) == 0);
	zt_same(zt_peer_of(to_dead), dead);
	int beside = zt_receives(to_dead, "from the dead", NULL);
	zt_through(ends[1], beside, "by a pipe");
	zt_reads(to_dead, "");

	int to_closed = zt_must(accept(listener, NULL, NULL));
	zt_reads(to_closed, "");
	zt_check(send(to_closed, "x", 1, MSG_NOSIGNAL) == -1);
	zt_same(errno, EPIPE);
	int to_silent = zt_must(accept(listener, NULL, NULL));
	zt_through(silent, to_silent, "silent");
	zt_through(to_silent, silent, "as well");

	found_size = sizeof found;
	int to_half = zt_must(accept(listener, (struct sockaddr *)&found, &found_size));
	zt_same(found_size, half_size + 1);
	zt_check(strcmp(found.sun_path, half_at.sun_path) == 0);
	zt_reads(to_half, "half");
	zt_reads(to_half, "");
	zt_through(to_half, half, "one way only");
	int to_late = zt_must(accept(listener, NULL, NULL));
	zt_reads(to_late, "late");
	zt_through(to_late, late, "not too late");
	zt_nobody_waits(listener);
	int next = zt_connects(SOCK_STREAM, &at, size), to_next = zt_must(accept(listener, NULL, NULL));
	zt_through(next, to_next, "as ever");
	zt_must(unlink(at.sun_path));
	zt_must(unlink(half_at.sun_path));
	return zt_pass();
}
