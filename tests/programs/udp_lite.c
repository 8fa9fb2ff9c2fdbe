/* UDP-Lite sockets: bound, connected, with datagrams that wait, and how much of one is summed up. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define SEND_COVERAGE 10
#define RECV_COVERAGE 11

static int coverage(int fd, int which)
{
	int value = -1;
	zt_must(getsockopt(fd, IPPROTO_UDPLITE, which, &value, &(socklen_t){sizeof value}));
	return value;
}

int main(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	int bound = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);
	if (bound == -1) { /* a kernel without it */
		zt_same(errno, EPROTONOSUPPORT);
		zt_ready();
		return zt_pass();
	}
	int connected = zt_must(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE));
	zt_must(bind(bound, (struct sockaddr *)&at, size));
	zt_must(getsockname(bound, (struct sockaddr *)&at, &size));
	zt_must(connect(connected, (struct sockaddr *)&at, size));
	zt_must(setsockopt(connected, IPPROTO_UDPLITE, SEND_COVERAGE, &(int){20}, sizeof(int)));
	zt_must(setsockopt(bound, IPPROTO_UDPLITE, RECV_COVERAGE, &(int){12}, sizeof(int)));
	zt_writes(connected, "waits");
	int shut = zt_must(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE));
	zt_must(connect(shut, (struct sockaddr *)&at, size));
	zt_must(shutdown(shut, SHUT_WR));

	zt_ready();

	zt_same(coverage(connected, SEND_COVERAGE), 20);
	zt_same(coverage(bound, RECV_COVERAGE), 12);
	zt_reads(bound, "waits");
	zt_writes(connected, "more");
	zt_reads(bound, "more");
	zt_check(write(shut, "x", 1) == -1 && errno == EPIPE);
	return zt_pass();
}
