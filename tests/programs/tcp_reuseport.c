/* Listeners that share a port (SO_REUSEPORT): each connection that was not accepted yet waits at the one to which it
 * came, in its turn, with what was sent on it; also those of clients that were closed. */
#include "zt_tcp.h"

enum { SHARE = 3, EACH = 3, CLIENTS = SHARE * EACH };
#ifndef SO_DETACH_REUSEPORT_BPF
#define SO_DETACH_REUSEPORT_BPF 68
#endif

struct group {
	int listeners[SHARE];
	int clients[CLIENTS];
	struct sockaddr_in6 names[CLIENTS];
	int order[SHARE][CLIENTS], waiting[SHARE];
};

static void share(struct group *group, enum zt_kind kind)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t size = sizeof at;
	if (kind == ZT_FOUR) {
		*(struct sockaddr_in *)&at = (struct sockaddr_in){.sin_family = AF_INET};
		size = sizeof(struct sockaddr_in);
	}
	for (int i = 0; i < SHARE; i++) {
		group->listeners[i] = zt_must(socket(zt_family(kind), SOCK_STREAM, 0));
		zt_set(group->listeners[i], SOL_SOCKET, SO_REUSEPORT, 1);
		zt_must(bind(group->listeners[i], (struct sockaddr *)&at, size));
		zt_must(getsockname(group->listeners[i], (struct sockaddr *)&at, &size));
	}
	for (int i = SHARE - 1; i >= 0; i--) /* in this order the kernel has them in its list */
		zt_must(listen(group->listeners[i], CLIENTS));
}

static int count_at(int listener)
{
	struct tcp_info info;
	zt_must(getsockopt(listener, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){sizeof info}));
	return (int)info.tcpi_unacked;
}

/* Note where it has come to. */
static void connects(struct group *group, enum zt_kind kind, int n)
{
	socklen_t size = sizeof group->names[n];
	char text[2] = {(char)('a' + n)};
	group->clients[n] = zt_connect(group->listeners[0], kind);
	zt_must(getsockname(group->clients[n], (struct sockaddr *)&group->names[n], &size));
	if (n % 3)
		zt_writes(group->clients[n], text);
	for (;;)
		for (int i = 0; i < SHARE; i++)
			if (count_at(group->listeners[i]) > group->waiting[i]) {
				group->order[i][group->waiting[i]++] = n;
				return;
			}
}

static bool is_closed(int n)
{
	return n % 4 == 3;
}

static void accepts(struct group *group, int i, int n)
{
	struct sockaddr_in6 peer = {0}, now = {0};
	socklen_t size = sizeof peer;
	char text[2] = {(char)('a' + n)};
	int server = zt_must(accept4(group->listeners[i], (struct sockaddr *)&peer, &size, SOCK_NONBLOCK));
	zt_check(memcmp(&peer, &group->names[n], sizeof peer) == 0);
	if (n % 3)
		zt_reads(server, text);
	if (is_closed(n)) {
		zt_reads(server, "");
	} else {
		size = sizeof now;
		zt_must(getsockname(group->clients[n], (struct sockaddr *)&now, &size));
		zt_check(memcmp(&now, &group->names[n], sizeof now) == 0);
		zt_writes(server, "back");
		zt_reads(group->clients[n], "back");
	}
	zt_must(close(server));
}

static void looks(struct group *group, enum zt_kind kind)
{
	for (int i = 0; i < SHARE; i++) {
		zt_same(count_at(group->listeners[i]), group->waiting[i]);
		for (int at = 0; at < group->waiting[i]; at++)
			accepts(group, i, group->order[i][at]);
		zt_same(count_at(group->listeners[i]), 0);
	}
	zt_check(setsockopt(group->listeners[0], SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &(int){0}, sizeof(int)) == -1);
	zt_same(errno, ENOENT);
	memset(group->waiting, 0, sizeof group->waiting);
	for (int n = 0; n < CLIENTS; n++)
		if (n % 3 == 0 && !is_closed(n))
			connects(group, kind, n);
	for (int i = 0; i < SHARE; i++)
		for (int at = 0; at < group->waiting[i]; at++)
			accepts(group, i, group->order[i][at]);
}

int main(void)
{
	static struct group groups[2];
	for (int kind = 0; kind < 2; kind++) {
		share(&groups[kind], kind);
		for (int n = 0; n < CLIENTS; n++)
			connects(&groups[kind], kind, n);
		for (int n = 0; n < CLIENTS; n++)
			if (is_closed(n))
				zt_must(close(groups[kind].clients[n]));
	}

	zt_ready();

	for (int kind = 0; kind < 2; kind++)
		looks(&groups[kind], kind);
	return zt_pass();
}
