/* Connections whose other end was closed: in order, with more than there was room for, or by a reset. */
#include "zt_tcp.h"

#include <netinet/tcp.h>

static void reset(int fd)
{
	zt_must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)));
	zt_must(close(fd));
}

int main(void)
{
	struct zt_tcp closed[ZT_KINDS], full, over, gone;
	struct sockaddr_in6 name = {0}, now = {0};
	socklen_t size = sizeof now;
	for (int kind = 0; kind < ZT_KINDS; kind++) {
		closed[kind] = zt_tcp_pair(kind);
		zt_writes(closed[kind].client, "last words");
		zt_must(close(closed[kind].client));
	}
	full = zt_tcp_pair(ZT_FOUR);
	uint64_t stuffed = zt_stuff(full.client);
	zt_must(close(full.client));
	over = zt_tcp_pair(ZT_FOUR);
	zt_writes(over.client, "last words");
	zt_must(close(over.client));
	zt_must(shutdown(over.server, SHUT_WR));
	zt_must(getsockname(over.server, (struct sockaddr *)&name, &size));
	gone = zt_tcp_pair(ZT_SIX);
	reset(gone.client);
	zt_same(send(gone.server, "x", 1, MSG_NOSIGNAL), -1);

	zt_ready();

	for (int kind = 0; kind < ZT_KINDS; kind++) {
		int fd = closed[kind].server;
		struct sockaddr_in6 own = {0}, peer = {0};
		size = sizeof own, zt_must(getsockname(fd, (struct sockaddr *)&own, &size));
		size = sizeof peer, zt_must(getpeername(fd, (struct sockaddr *)&peer, &size));
		zt_check(memcmp(&own, &closed[kind].names[2], sizeof own) == 0);
		zt_check(memcmp(&peer, &closed[kind].names[3], sizeof peer) == 0);
		zt_same(zt_state(fd), TCP_CLOSE_WAIT);
		zt_reads(fd, "last words");
		zt_reads(fd, "");
		zt_writes(fd, "to nobody");
		while (!(zt_events(fd) & POLLHUP))
			zt_sleep_ns(ZT_MS);
		zt_same(send(fd, "x", 1, MSG_NOSIGNAL), -1);
		zt_same(errno, EPIPE);
	}
	zt_drain(full.server, stuffed);
	zt_reads(full.server, "");
	size = sizeof now;
	zt_must(getsockname(over.server, (struct sockaddr *)&now, &size));
	zt_check(memcmp(&now, &name, sizeof now) == 0);
	zt_same(getpeername(over.server, (struct sockaddr *)&now, &size), -1);
	zt_same(errno, ENOTCONN);
	zt_reads(over.server, "last words");
	zt_reads(over.server, "");
	zt_reads(gone.server, "");
	zt_check(zt_events(gone.server) & POLLHUP);
	return zt_pass();
}
