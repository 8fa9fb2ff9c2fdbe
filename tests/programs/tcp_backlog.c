/* Connections that were not accepted yet: alone, and several in order, with something sent, and shut down. */
#include "zt_tcp.h"

enum { CLIENTS = 5 };

static void same_peer(int server, int client)
{
	struct sockaddr_in6 own = {0}, peer = {0};
	socklen_t size = sizeof own;
	zt_must(getsockname(client, (struct sockaddr *)&own, &size));
	size = sizeof peer;
	zt_must(getpeername(server, (struct sockaddr *)&peer, &size));
	zt_check(memcmp(&own, &peer, size) == 0);
}

int main(void)
{
	int alone[ZT_KINDS], first[ZT_KINDS], busy[2], clients[2][CLIENTS];
	struct sockaddr_in6 names[2][CLIENTS] = {0}, now;
	uint64_t stuffed[2];
	for (int kind = 0; kind < ZT_KINDS; kind++) {
		alone[kind] = zt_listener(kind);
		first[kind] = zt_connect(alone[kind], kind);
	}
	for (int i = 0; i < 2; i++) {
		busy[i] = zt_listener(i);
		for (int n = 0; n < CLIENTS; n++) {
			socklen_t size = sizeof names[i][n];
			clients[i][n] = zt_connect(busy[i], i);
			zt_must(getsockname(clients[i][n], (struct sockaddr *)&names[i][n], &size));
		}
		zt_writes(clients[i][1], "a question");
		zt_writes(clients[i][2], "a last question");
		zt_must(shutdown(clients[i][2], SHUT_WR));
		stuffed[i] = zt_stuff(clients[i][4]);
		zt_set(clients[i][1], IPPROTO_TCP, TCP_KEEPIDLE, 99);
	}

	zt_ready();

	for (int kind = 0; kind < ZT_KINDS; kind++) {
		int server = zt_must(accept(alone[kind], NULL, NULL));
		zt_writes(first[kind], "hello");
		zt_reads(server, "hello");
		zt_writes(server, "hello back");
		zt_reads(first[kind], "hello back");
		zt_same(zt_get(first[kind], IPPROTO_IP, IP_TTL), 64);
	}
	for (int i = 0; i < 2; i++) {
		int servers[CLIENTS];
		for (int n = 0; n < CLIENTS; n++) {
			socklen_t size = sizeof now;
			memset(&now, 0, sizeof now);
			servers[n] = zt_must(accept(busy[i], NULL, NULL));
			zt_must(getsockname(clients[i][n], (struct sockaddr *)&now, &size));
			zt_check(memcmp(&now, &names[i][n], sizeof now) == 0);
			same_peer(servers[n], clients[i][n]);
			zt_same(zt_get(clients[i][n], SOL_SOCKET, SO_ERROR), 0);
		}
		zt_nothing_to_read(servers[0]);
		zt_reads(servers[1], "a question");
		zt_nothing_to_read(servers[1]);
		zt_writes(servers[1], "an answer");
		zt_reads(clients[i][1], "an answer");
		zt_same(zt_get(clients[i][1], IPPROTO_TCP, TCP_KEEPIDLE), 99);
		zt_reads(servers[2], "a last question");
		zt_reads(servers[2], "");
		zt_writes(servers[2], "a last answer");
		zt_reads(clients[i][2], "a last answer");
		zt_same(send(clients[i][2], "x", 1, MSG_NOSIGNAL), -1);
		zt_same(errno, EPIPE);
		zt_drain(servers[4], stuffed[i]);
		zt_writes(clients[i][4], "goes on");
		zt_reads(servers[4], "goes on");
	}
	return zt_pass();
}
