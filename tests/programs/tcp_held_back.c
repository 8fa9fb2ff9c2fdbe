/* Bytes that wait for more, as the sender is corked or has sent others that are not confirmed yet. */
#include "zt_tcp.h"

int main(void)
{
	struct zt_tcp corked = zt_tcp_pair(ZT_FOUR), small = zt_tcp_pair(ZT_SIX);
	zt_set(corked.client, IPPROTO_TCP, TCP_CORK, 1);
	zt_writes(corked.client, "corked");
	zt_set(small.server, IPPROTO_TCP, TCP_QUICKACK, 0);
	for (int i = 0; i < 8; i++)
		zt_writes(small.client, "12345678");

	zt_ready();

	char got[256] = {0};
	zt_same(zt_get(corked.client, IPPROTO_TCP, TCP_CORK), 1);
	zt_writes(corked.client, " no more");
	zt_set(corked.client, IPPROTO_TCP, TCP_CORK, 0);
	for (size_t n = 0; n < 14;)
		n += (size_t)zt_must(read(corked.server, got + n, sizeof got - n));
	zt_check(strcmp(got, "corked no more") == 0);
	zt_same(zt_get(small.client, IPPROTO_TCP, TCP_NODELAY), 0);
	zt_same(recv(small.server, got, 64, MSG_WAITALL), 64);
	zt_nothing_to_read(small.server);
	return zt_pass();
}
