/* A reader that does not read: what was sent waits with it, and, where it has no room, with the sender. */
#include "zt_tcp.h"

/* Buffers of the sender and of the receiver; 0 is as the kernel has them. */
static const int SIZES[][2] = {{0, 0}, {0, 4096}, {4096, 4096}, {1 << 20, 2048}};
enum { COUNT = sizeof SIZES / sizeof *SIZES };

static struct zt_tcp with_buffers(enum zt_kind kind, int sends, int receives)
{
	struct zt_tcp tcp = {.listener = zt_listener(kind)};
	struct sockaddr_in6 to;
	socklen_t size = zt_address(tcp.listener, kind, &to);
	tcp.client = zt_must(socket(zt_family(kind), SOCK_STREAM, 0));
	if (receives)
		zt_set(tcp.listener, SOL_SOCKET, SO_RCVBUF, receives);
	if (sends)
		zt_set(tcp.client, SOL_SOCKET, SO_SNDBUF, sends);
	zt_must(connect(tcp.client, (struct sockaddr *)&to, size));
	tcp.server = zt_must(accept(tcp.listener, NULL, NULL));
	zt_names(&tcp, tcp.names);
	return tcp;
}

int main(void)
{
	struct zt_tcp tcps[COUNT];
	uint64_t sent[COUNT], back[COUNT];
	int sizes[COUNT][2];
	for (int i = 0; i < COUNT; i++) {
		tcps[i] = with_buffers(i % ZT_KINDS, SIZES[i][0], SIZES[i][1]);
		sent[i] = zt_stuff(tcps[i].client);
		back[i] = i == 2 ? zt_stuff(tcps[i].server) : 0;
		sizes[i][0] = zt_get(tcps[i].client, SOL_SOCKET, SO_SNDBUF);
		sizes[i][1] = zt_get(tcps[i].server, SOL_SOCKET, SO_RCVBUF);
	}

	zt_ready();

	for (int i = 0; i < COUNT; i++) {
		zt_same_names(&tcps[i]);
		if (SIZES[i][0])
			zt_same(zt_get(tcps[i].client, SOL_SOCKET, SO_SNDBUF), sizes[i][0]);
		if (SIZES[i][1])
			zt_same(zt_get(tcps[i].server, SOL_SOCKET, SO_RCVBUF), sizes[i][1]);
		zt_drain(tcps[i].server, sent[i]);
		zt_nothing_to_read(tcps[i].server);
		zt_drain(tcps[i].client, back[i]);
		zt_nothing_to_read(tcps[i].client);
		zt_writes(tcps[i].client, "goes on");
		zt_reads(tcps[i].server, "goes on");
		zt_writes(tcps[i].server, "goes on");
		zt_reads(tcps[i].client, "goes on");
	}
	return zt_pass();
}
