/* What is in a pipe stays in it; capacity and packet mode stay too, and the bounds
 * of packets that were written while it was in that mode. */
#include "zt_test.h"

int main(void)
{
	static char sent[200000], got[200000];
	int p[2], packet[2], former[2];
	zt_must(pipe(p));
	zt_must(fcntl(p[1], F_SETPIPE_SZ, 1 << 18));
	for (size_t i = 0; i < sizeof sent; i++)
		sent[i] = (char)(i * 7 + i / 256);
	zt_same(write(p[1], sent, sizeof sent), sizeof sent);
	zt_must(pipe2(packet, O_DIRECT | O_NONBLOCK));
	zt_writes(packet[1], "one");
	zt_writes(packet[1], "two");
	zt_must(pipe2(former, O_DIRECT));
	zt_writes(former[1], "one");
	zt_writes(former[1], "two");
	zt_must(fcntl(former[1], F_SETFL, 0));
	zt_writes(former[1], "rest");
	int flags[4];
	for (int i = 0; i < 4; i++)
		flags[i] = fcntl(i < 2 ? p[i] : packet[i - 2], F_GETFL);

	zt_ready();

	for (int i = 0; i < 4; i++)
		zt_same(fcntl(i < 2 ? p[i] : packet[i - 2], F_GETFL), flags[i]);
	zt_same(fcntl(p[0], F_GETPIPE_SZ), 1 << 18);
	size_t n = 0;
	while (n < sizeof got)
		n += (size_t)zt_must(read(p[0], got + n, sizeof got - n));
	zt_check(memcmp(sent, got, sizeof got) == 0);
	zt_writes(packet[1], "three");
	zt_reads(packet[0], "one");
	zt_reads(packet[0], "two");
	zt_reads(packet[0], "three");
	zt_check(read(packet[0], got, 1) == -1 && errno == EAGAIN);
	zt_writes(former[1], " of it");
	zt_reads(former[0], "one");
	zt_reads(former[0], "two");
	zt_reads(former[0], "rest of it");
	return zt_pass();
}
