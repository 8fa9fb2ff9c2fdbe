/* TCP connections within a program, over IPv4, IPv6, and IPv4 written as IPv6. */
#ifndef ZT_TCP_H
#define ZT_TCP_H
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum zt_kind { ZT_FOUR, ZT_SIX, ZT_MAPPED, ZT_KINDS };

struct zt_tcp {
	int listener, client, server;
	struct sockaddr_in6 names[4]; /* of the client and the server: their own, and their peers' */
};

__attribute__((unused)) static int zt_family(enum zt_kind kind)
{
	return kind == ZT_FOUR ? AF_INET : AF_INET6;
}

/* A listening socket on a loopback address; a v4-mapped client's is of IPv4. */
__attribute__((unused)) static int zt_listener(enum zt_kind kind)
{
	struct sockaddr_in four = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = zt_must(socket(kind == ZT_SIX ? AF_INET6 : AF_INET, SOCK_STREAM, 0));
	if (kind == ZT_SIX)
		zt_must(bind(fd, (struct sockaddr *)&six, sizeof six));
	else
		zt_must(bind(fd, (struct sockaddr *)&four, sizeof four));
	zt_must(listen(fd, 64));
	return fd;
}

/* The address of a listener, as a client of this kind writes it. */
__attribute__((unused)) static socklen_t zt_address(int listener, enum zt_kind kind, void *ret)
{
	struct sockaddr_in6 six = {.sin6_family = AF_INET6};
	struct sockaddr_in four;
	socklen_t size = sizeof six;
	if (kind != ZT_MAPPED) {
		zt_must(getsockname(listener, ret, &size));
		return size;
	}
	size = sizeof four;
	zt_must(getsockname(listener, (struct sockaddr *)&four, &size));
	six.sin6_port = four.sin_port;
	six.sin6_addr.s6_addr[10] = six.sin6_addr.s6_addr[11] = 0xff;
	memcpy(&six.sin6_addr.s6_addr[12], &four.sin_addr, 4);
	memcpy(ret, &six, sizeof six);
	return sizeof six;
}

__attribute__((unused)) static int zt_connect(int listener, enum zt_kind kind)
{
	struct sockaddr_in6 to;
	socklen_t size = zt_address(listener, kind, &to);
	int fd = zt_must(socket(zt_family(kind), SOCK_STREAM, 0));
	zt_must(connect(fd, (struct sockaddr *)&to, size));
	return fd;
}

__attribute__((unused)) static void zt_names(const struct zt_tcp *tcp, struct sockaddr_in6 *ret)
{
	socklen_t size;
	memset(ret, 0, 4 * sizeof *ret);
	size = sizeof *ret, zt_must(getsockname(tcp->client, (struct sockaddr *)&ret[0], &size));
	size = sizeof *ret, zt_must(getpeername(tcp->client, (struct sockaddr *)&ret[1], &size));
	size = sizeof *ret, zt_must(getsockname(tcp->server, (struct sockaddr *)&ret[2], &size));
	size = sizeof *ret, zt_must(getpeername(tcp->server, (struct sockaddr *)&ret[3], &size));
}

__attribute__((unused)) static struct zt_tcp zt_tcp_pair(enum zt_kind kind)
{
	struct zt_tcp tcp;
	tcp.listener = zt_listener(kind);
	tcp.client = zt_connect(tcp.listener, kind);
	tcp.server = zt_must(accept(tcp.listener, NULL, NULL));
	zt_names(&tcp, tcp.names);
	return tcp;
}

/* All four names are what they were. */
__attribute__((unused)) static void zt_same_names(const struct zt_tcp *tcp)
{
	struct sockaddr_in6 now[4];
	zt_names(tcp, now);
	zt_check(memcmp(now, tcp->names, sizeof now) == 0);
}

__attribute__((unused)) static void zt_set(int fd, int level, int option, int value)
{
	zt_must(setsockopt(fd, level, option, &value, sizeof value));
}

__attribute__((unused)) static int zt_get(int fd, int level, int option)
{
	int value = -1;
	zt_must(getsockopt(fd, level, option, &value, &(socklen_t){sizeof value}));
	return value;
}

__attribute__((unused)) static int zt_state(int fd)
{
	struct tcp_info info;
	zt_must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){sizeof info}));
	return info.tcpi_state;
}

/* Bytes that depend on where they are in a stream. */
__attribute__((unused)) static uint8_t zt_byte(uint64_t at)
{
	return (uint8_t)(at * 2654435761u >> 13);
}

/* Sends until no more is taken; returns how many bytes. */
__attribute__((unused)) static uint64_t zt_stuff(int fd)
{
	static uint8_t block[1 << 16];
	uint64_t sent = 0;
	for (int quiet = 0; quiet < 20;) {
		for (size_t i = 0; i < sizeof block; i++)
			block[i] = zt_byte(sent + i);
		ssize_t n = send(fd, block, sizeof block, MSG_DONTWAIT);
		if (n < 0)
			zt_same(errno, EAGAIN);
		if (n > 0)
			sent += (uint64_t)n, quiet = 0;
		else
			quiet++, zt_sleep_ns(ZT_MS);
	}
	return sent;
}

/* Reads so many bytes, which must be those. */
__attribute__((unused)) static void zt_drain(int fd, uint64_t size)
{
	static uint8_t block[1 << 16];
	for (uint64_t at = 0; at < size;) {
		uint64_t most = size - at < sizeof block ? size - at : sizeof block;
		ssize_t n = zt_must(recv(fd, block, most, 0));
		zt_check(n > 0);
		for (ssize_t i = 0; i < n; i++, at++)
			if (block[i] != zt_byte(at))
				zt_fail("byte %llu of %llu differs", (unsigned long long)at, (unsigned long long)size);
	}
}

__attribute__((unused)) static void zt_nothing_to_read(int fd)
{
	char byte;
	zt_same(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	zt_same(errno, EAGAIN);
}

__attribute__((unused)) static int zt_events(int fd)
{
	struct pollfd it = {.fd = fd, .events = POLLIN | POLLOUT | POLLPRI | POLLRDHUP};
	zt_must(poll(&it, 1, 0));
	return it.revents;
}

#endif
