/* Urgent data: before others, behind others, read already, and in line. */
#include "zt_tcp.h"

int main(void)
{
	struct zt_tcp middle = zt_tcp_pair(ZT_FOUR), taken = zt_tcp_pair(ZT_SIX), first = zt_tcp_pair(ZT_MAPPED),
		      in_line = zt_tcp_pair(ZT_FOUR);
	char byte, got[16] = {0};
	zt_writes(middle.client, "before");
	zt_same(send(middle.client, "!", 1, MSG_OOB), 1);
	zt_writes(middle.client, "after");
	zt_writes(taken.client, "before");
	zt_same(send(taken.client, "!", 1, MSG_OOB), 1);
	zt_writes(taken.client, "after");
	zt_same(recv(taken.server, &byte, 1, MSG_OOB), 1);
	zt_same(send(first.client, "!", 1, MSG_OOB), 1);
	zt_set(in_line.server, SOL_SOCKET, SO_OOBINLINE, 1);
	zt_writes(in_line.client, "before");
	zt_same(send(in_line.client, "!", 1, MSG_OOB), 1);
	zt_writes(in_line.client, "after");

	zt_ready();

	zt_check(zt_events(middle.server) & POLLPRI);
	zt_same(sockatmark(middle.server), 0);
	zt_reads(middle.server, "before");
	zt_same(sockatmark(middle.server), 1);
	zt_same(recv(middle.server, &byte, 1, MSG_OOB), 1);
	zt_same(byte, '!');
	zt_reads(middle.server, "after");
	zt_check(!(zt_events(taken.server) & POLLPRI));
	zt_reads(taken.server, "before");
	zt_reads(taken.server, "after");
	zt_check(zt_events(first.server) & POLLPRI);
	zt_same(recv(first.server, &byte, 1, MSG_OOB), 1);
	zt_writes(first.client, "goes on");
	zt_reads(first.server, "goes on");
	zt_same(zt_get(in_line.server, SOL_SOCKET, SO_OOBINLINE), 1);
	zt_reads(in_line.server, "before");
	zt_same(sockatmark(in_line.server), 1);
	zt_same(recv(in_line.server, got, sizeof got, 0), 6);
	zt_check(strcmp(got, "!after") == 0);
	return zt_pass();
}
