/* Listening TCP sockets keep address, options and backlog, and take connections afterwards. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static int option(int fd, int level, int name)
{
	int value = -1;
	zt_must(getsockopt(fd, level, name, &value, &(socklen_t){sizeof value}));
	return value;
}

int main(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in now;
	socklen_t size = sizeof address;
	int fd = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	zt_must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)));
	zt_must(setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &(int){1}, sizeof(int)));
	zt_must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)));
	zt_must(bind(fd, (struct sockaddr *)&address, size));
	zt_must(listen(fd, 7));
	zt_must(setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){0}, sizeof(int)));
	zt_must(getsockname(fd, (struct sockaddr *)&address, &size));
	int fresh = zt_must(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0));
	zt_must(setsockopt(fresh, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)));

	zt_ready();

	zt_must(getsockname(fd, (struct sockaddr *)&now, &size));
	zt_same(now.sin_port, address.sin_port);
	zt_same(option(fd, SOL_SOCKET, SO_ACCEPTCONN), 1);
	zt_same(option(fd, SOL_SOCKET, SO_REUSEADDR), 1);
	zt_same(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	zt_same(option(fd, IPPROTO_TCP, TCP_NODELAY), 1);
	zt_same(option(fd, IPPROTO_TCP, TCP_QUICKACK), 0);
	struct tcp_info info;
	zt_must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){sizeof info}));
	zt_same(info.tcpi_sacked, 7); /* the backlog, of a listener */
	zt_same(option(fresh, IPPROTO_IPV6, IPV6_V6ONLY), 1);
	int client = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	zt_must(connect(client, (struct sockaddr *)&address, sizeof address));
	int server = zt_must(accept(fd, NULL, NULL));
	zt_writes(client, "hello");
	zt_reads(server, "hello");
	return zt_pass();
}
