/* Connections of which one half or both are shut down, with something to be read all the same. */
#include "zt_tcp.h"

enum { WRITES_NO_MORE, PEER_WRITES_NO_MORE, READS_NO_MORE, BOTH_WRITE_NO_MORE, BEHIND_A_FULL_WINDOW, WAYS };

static const char *const SAID = "before the end";

static void ends(int fd)
{
	char byte;
	zt_same(recv(fd, &byte, 1, 0), 0);
	zt_same(recv(fd, &byte, 1, 0), 0);
}

static void cannot_write(int fd)
{
	zt_same(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	zt_same(errno, EPIPE);
}

static uint64_t shut(struct zt_tcp *tcp, int way)
{
	uint64_t stuffed = 0;
	if (way == BEHIND_A_FULL_WINDOW)
		stuffed = zt_stuff(tcp->client);
	else
		zt_writes(tcp->client, SAID);
	zt_writes(tcp->server, SAID);
	switch (way) {
	case WRITES_NO_MORE:
	case BEHIND_A_FULL_WINDOW:
		zt_must(shutdown(tcp->client, SHUT_WR));
		break;
	case PEER_WRITES_NO_MORE:
		zt_must(shutdown(tcp->server, SHUT_WR));
		break;
	case READS_NO_MORE:
		zt_must(shutdown(tcp->client, SHUT_RD));
		break;
	case BOTH_WRITE_NO_MORE:
		zt_must(shutdown(tcp->client, SHUT_WR));
		zt_must(shutdown(tcp->server, SHUT_WR));
		break;
	}
	return stuffed;
}

static void go_on(struct zt_tcp *tcp, int way, uint64_t stuffed)
{
	if (way != BOTH_WRITE_NO_MORE)
		zt_same_names(tcp);
	if (way == BEHIND_A_FULL_WINDOW)
		zt_drain(tcp->server, stuffed);
	else
		zt_reads(tcp->server, SAID);
	zt_reads(tcp->client, SAID);
	switch (way) {
	case WRITES_NO_MORE:
	case BEHIND_A_FULL_WINDOW:
		ends(tcp->server);
		cannot_write(tcp->client);
		zt_writes(tcp->server, "answer");
		zt_reads(tcp->client, "answer");
		zt_nothing_to_read(tcp->client);
		break;
	case PEER_WRITES_NO_MORE:
		ends(tcp->client);
		cannot_write(tcp->server);
		zt_writes(tcp->client, "answer");
		zt_reads(tcp->server, "answer");
		zt_nothing_to_read(tcp->server);
		break;
	case READS_NO_MORE:
		ends(tcp->client);
		zt_check(zt_events(tcp->client) & POLLRDHUP);
		zt_check(!(zt_events(tcp->server) & POLLRDHUP));
		zt_writes(tcp->client, "answer");
		zt_reads(tcp->server, "answer");
		break;
	case BOTH_WRITE_NO_MORE:
		ends(tcp->server);
		ends(tcp->client);
		cannot_write(tcp->server);
		cannot_write(tcp->client);
		zt_check(zt_events(tcp->client) & POLLHUP);
		zt_check(zt_events(tcp->server) & POLLHUP);
		break;
	}
	zt_must(close(tcp->client));
	zt_must(close(tcp->server));
}

int main(void)
{
	struct zt_tcp tcps[WAYS][ZT_KINDS];
	uint64_t stuffed[WAYS][ZT_KINDS];
	for (int way = 0; way < WAYS; way++)
		for (int kind = 0; kind < ZT_KINDS; kind++) {
			tcps[way][kind] = zt_tcp_pair(kind);
			stuffed[way][kind] = shut(&tcps[way][kind], way);
		}

	zt_ready();

	for (int way = 0; way < WAYS; way++)
		for (int kind = 0; kind < ZT_KINDS; kind++)
			go_on(&tcps[way][kind], way, stuffed[way][kind]);
	return zt_pass();
}
