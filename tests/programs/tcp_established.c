/* TCP connections within the program: addresses, what waits to be read, options, and how they go on. */
#include "zt_tcp.h"

static const int KEPT[][3] = {
	{SOL_SOCKET, SO_KEEPALIVE, 1},
	{SOL_SOCKET, SO_REUSEADDR, 1},
	{SOL_SOCKET, SO_RCVBUF, 30000},
	{SOL_SOCKET, SO_SNDBUF, 40000},
	{SOL_SOCKET, SO_RCVLOWAT, 3},
	{SOL_SOCKET, SO_PRIORITY, 5},
	{IPPROTO_TCP, TCP_NODELAY, 1},
	{IPPROTO_TCP, TCP_KEEPIDLE, 77},
	{IPPROTO_TCP, TCP_KEEPCNT, 4},
	{IPPROTO_TCP, TCP_USER_TIMEOUT, 54321},
	{IPPROTO_TCP, TCP_LINGER2, 9},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP, 20000},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT, 5000},
};
enum { KEPT_COUNT = sizeof KEPT / sizeof *KEPT };

static void options(int fd, int *ret)
{
	for (int i = 0; i < KEPT_COUNT; i++)
		ret[i] = zt_get(fd, KEPT[i][0], KEPT[i][1]);
}

/* One that is connected to itself. */
static int to_itself(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	int fd = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	zt_must(bind(fd, (struct sockaddr *)&at, size));
	zt_must(getsockname(fd, (struct sockaddr *)&at, &size));
	zt_must(connect(fd, (struct sockaddr *)&at, size));
	return fd;
}

static void talk(struct zt_tcp tcp, enum zt_kind kind)
{
	struct sockaddr_in6 again;
	zt_same_names(&tcp);
	zt_same(zt_state(tcp.client), TCP_ESTABLISHED);
	zt_same(zt_state(tcp.server), TCP_ESTABLISHED);
	zt_same(zt_get(tcp.server, SOL_SOCKET, SO_ERROR), 0);
	socklen_t size = zt_address(tcp.listener, kind, &again);
	zt_same(connect(tcp.client, (struct sockaddr *)&again, size), -1);
	zt_same(errno, EISCONN);
	zt_reads(tcp.server, "to the server");
	zt_reads(tcp.client, "to the client");
	zt_nothing_to_read(tcp.server);
	zt_nothing_to_read(tcp.client);
	zt_writes(tcp.client, "more");
	zt_reads(tcp.server, "more");
	zt_writes(tcp.server, "and more");
	zt_reads(tcp.client, "and more");
	int client = zt_connect(tcp.listener, kind), server = zt_must(accept(tcp.listener, NULL, NULL));
	zt_writes(client, "another");
	zt_reads(server, "another");
	close(tcp.client);
	zt_reads(tcp.server, "");
}

int main(void)
{
	struct zt_tcp tcps[ZT_KINDS], chosen = zt_tcp_pair(ZT_FOUR);
	int self = to_itself(), before[KEPT_COUNT], after[KEPT_COUNT], shared = dup(self);
	struct linger linger = {1, 7}, found = {0};
	char name[16];
	for (int kind = 0; kind < ZT_KINDS; kind++) {
		tcps[kind] = zt_tcp_pair(kind);
		zt_writes(tcps[kind].client, "to the server");
		zt_writes(tcps[kind].server, "to the client");
	}
	for (int i = 0; i < KEPT_COUNT; i++)
		zt_set(chosen.server, KEPT[i][0], KEPT[i][1], KEPT[i][2]);
	zt_must(setsockopt(chosen.server, SOL_SOCKET, SO_LINGER, &linger, sizeof linger));
	zt_must(setsockopt(chosen.server, IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	zt_must(fcntl(chosen.server, F_SETFL, O_RDWR | O_NONBLOCK));
	zt_writes(chosen.client, "waits");
	options(chosen.server, before);
	zt_writes(self, "to itself");

	zt_ready();

	options(chosen.server, after);
	for (int i = 0; i < KEPT_COUNT; i++)
		if (after[i] != before[i])
			zt_fail("option %d.%d is %d, not %d", KEPT[i][0], KEPT[i][1], after[i], before[i]);
	zt_must(getsockopt(chosen.server, SOL_SOCKET, SO_LINGER, &found, &(socklen_t){sizeof found}));
	zt_check(found.l_onoff == 1 && found.l_linger == 7);
	zt_must(getsockopt(chosen.server, IPPROTO_TCP, TCP_CONGESTION, name, &(socklen_t){sizeof name}));
	zt_check(strcmp(name, "reno") == 0);
	zt_same(zt_get(chosen.client, IPPROTO_TCP, TCP_NODELAY), 0);
	zt_same(zt_get(chosen.client, IPPROTO_IP, IP_TTL), zt_get(tcps[0].listener, IPPROTO_IP, IP_TTL));
	zt_same(zt_get(tcps[ZT_SIX].server, IPPROTO_IPV6, IPV6_UNICAST_HOPS),
		zt_get(tcps[ZT_SIX].listener, IPPROTO_IPV6, IPV6_UNICAST_HOPS));
	zt_same(zt_get(chosen.client, SOL_SOCKET, SO_REUSEADDR), 0);
	zt_reads(chosen.server, "waits");
	zt_writes(chosen.server, "goes on");
	zt_reads(chosen.client, "goes on");
	zt_nothing_to_read(chosen.server);
	for (int kind = 0; kind < ZT_KINDS; kind++)
		talk(tcps[kind], kind);
	zt_reads(shared, "to itself");
	zt_writes(shared, "once more");
	zt_reads(self, "once more");
	return zt_pass();
}
