/* Connections that wait to be accepted: in order, with the names and processes of those who connected,
 * half shut, on listeners of two types. */
#include "zt_test.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static socklen_t address(struct sockaddr_un *ret, const char *what)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(ret->sun_path, sizeof ret->sun_path, "zt_%s.%d", what, (int)getpid());
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n);
}

static int connected(int type, const struct sockaddr_un *to, socklen_t size)
{
	int fd = zt_must(socket(AF_UNIX, type, 0));
	zt_must(connect(fd, (const struct sockaddr *)to, size));
	return fd;
}

static pid_t peer_of(int fd)
{
	struct ucred peer;
	zt_must(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &(socklen_t){sizeof peer}));
	return peer.pid;
}

static void through(int from, int to, const char *text)
{
	zt_writes(from, text);
	zt_reads(to, text);
}

int main(void)
{
	struct sockaddr_un at, packets_at, named_at, found;
	socklen_t size = address(&at, "backlog"), packets_size = address(&packets_at, "packets");
	socklen_t named_size = address(&named_at, "client"), found_size = sizeof found;
	int pair[2], listener = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	int packet_listener = zt_must(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	zt_must(bind(listener, (struct sockaddr *)&at, size));
	zt_must(listen(listener, 2));
	zt_must(bind(packet_listener, (struct sockaddr *)&packets_at, packets_size));
	zt_must(listen(packet_listener, 2));
	int first = connected(SOCK_STREAM, &at, size);
	pid_t child = zt_must(fork());
	if (child == 0) {
		int mine = connected(SOCK_STREAM, &at, size);
		zt_writes(pair[1], "c");
		zt_reads(pair[1], "go");
		zt_same(peer_of(mine), getppid());
		zt_writes(mine, "from the child");
		zt_reads(pair[1], "end");
		_exit(0);
	}
	zt_reads(pair[0], "c");
	int named = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(bind(named, (struct sockaddr *)&named_at, named_size));
	zt_must(connect(named, (struct sockaddr *)&at, size));
	zt_must(shutdown(named, SHUT_WR));
	int packets = connected(SOCK_SEQPACKET, &packets_at, packets_size);

	zt_ready();

	struct pollfd readable[] = {{listener, POLLIN, 0}, {packet_listener, POLLIN, 0}};
	zt_same(poll(readable, 2, 0), 2);
	int to_first = zt_must(accept(listener, NULL, NULL));
	zt_same(peer_of(to_first), getpid());
	through(first, to_first, "first");
	through(to_first, first, "and back");
	int to_child = zt_must(accept(listener, NULL, NULL));
	zt_same(peer_of(to_child), child);
	zt_writes(pair[0], "go");
	zt_reads(to_child, "from the child");
	int to_named = zt_must(accept(listener, (struct sockaddr *)&found, &found_size));
	zt_same(found_size, named_size + 1);
	zt_check(strcmp(found.sun_path, named_at.sun_path) == 0);
	zt_reads(to_named, "");
	through(to_named, named, "one way only");
	int to_packets = zt_must(accept(packet_listener, NULL, NULL));
	zt_same(peer_of(to_packets), getpid());
	through(packets, to_packets, "packet");
	zt_must(fcntl(listener, F_SETFL, O_NONBLOCK));
	zt_check(accept(listener, NULL, NULL) == -1);
	zt_same(errno, EAGAIN);
	zt_writes(pair[0], "end");
	zt_join(child);
	zt_must(unlink(at.sun_path));
	zt_must(unlink(named_at.sun_path));
	zt_must(unlink(packets_at.sun_path));
	return zt_pass();
}
