/* TCP: a send and a receive of all that had moved a part. */
#include "zt_halfway.h"

#include <netinet/in.h>
#include <sys/socket.h>

static int one[2], other[2];

static void by_writev(void)
{
	struct iovec pieces[ZT_MANY];
	zt_cut_up_small(pieces, zt_bytes);
	zt_same(writev(one[1], pieces, ZT_MANY), ZT_TOTAL);
}

static void by_recv(void)
{
	static char got[ZT_TOTAL];
	struct sockaddr_in from;
	socklen_t size = sizeof from;
	zt_same(recvfrom(other[0], got, ZT_TOTAL, MSG_WAITALL, (struct sockaddr *)&from, &size), ZT_TOTAL);
	zt_same(memcmp(got, zt_bytes, ZT_TOTAL), 0);
}

static void free_one(void) { zt_drains(one[0], ZT_TOTAL); }
static void free_other(void) { zt_same(write(other[1], zt_bytes + 1000, ZT_TOTAL - 1000), ZT_TOTAL - 1000); }

static void connects(int ret[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof address;
	const int little = 8192;
	int listener = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	ret[1] = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	zt_must(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof little));
	zt_must(setsockopt(ret[1], SOL_SOCKET, SO_SNDBUF, &little, sizeof little));
	zt_must(bind(listener, (struct sockaddr *)&address, sizeof address));
	zt_must(listen(listener, 1));
	zt_must(getsockname(listener, (struct sockaddr *)&address, &size));
	zt_must(connect(ret[1], (struct sockaddr *)&address, size));
	ret[0] = zt_must(accept(listener, NULL, NULL));
	zt_must(close(listener));
}

int main(void)
{
	static const zt_way ways[] = {{by_writev, free_one}, {by_recv, free_other}};
	zt_fill();
	connects(one);
	connects(other);
	zt_same(write(other[1], zt_bytes, 1000), 1000);
	return zt_halfway(ways, 2);
}
