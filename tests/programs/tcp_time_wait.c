/* Listeners without SO_REUSEADDR that have closed a connection before its client did: it waits at their
 * port still (TIME_WAIT). Whoever connects is accepted there, also of a port that others live at. */
#include "zt_tcp.h"

static void meet(int listener, enum zt_kind kind)
{
	int client = zt_connect(listener, kind), server = zt_must(accept(listener, NULL, NULL));
	zt_writes(client, "there");
	zt_reads(server, "there");
	zt_must(close(client));
	zt_must(close(server));
}

/* Of which the server waits. */
static void meet_briefly(int listener, enum zt_kind kind)
{
	char byte;
	int client = zt_connect(listener, kind), server = zt_must(accept(listener, NULL, NULL));
	zt_must(shutdown(server, SHUT_WR));
	zt_same(read(client, &byte, 1), 0);
	zt_must(close(client));
	zt_same(read(server, &byte, 1), 0);
	zt_must(close(server));
}

int main(void)
{
	int kinds = access("/proc/net/if_inet6", F_OK) < 0 ? 1 : 2, listeners[2];
	struct zt_tcp talk = zt_tcp_pair(ZT_FOUR);
	meet_briefly(talk.listener, ZT_FOUR);
	for (int kind = 0; kind < kinds; kind++) {
		listeners[kind] = zt_listener(kind);
		for (int i = 0; i < 3; i++)
			meet_briefly(listeners[kind], kind);
	}

	zt_ready();

	for (int kind = 0; kind < kinds; kind++) {
		zt_same(zt_get(listeners[kind], SOL_SOCKET, SO_REUSEADDR), 0);
		meet(listeners[kind], kind);
	}
	zt_same_names(&talk);
	zt_writes(talk.client, "still");
	zt_reads(talk.server, "still");
	zt_same(zt_get(talk.server, SOL_SOCKET, SO_REUSEADDR), 0);
	meet(talk.listener, ZT_FOUR);
	return zt_pass();
}
