/* Sockets that were told that nobody is there, and have not read it yet: UDP, and connect(2) of TCP. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum { KINDS = 4 };

struct address {
	socklen_t size;
	union {
		struct sockaddr any;
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	};
};

static struct address loopback(int family)
{
	struct address it = {.size = sizeof it.four};
	if (family == AF_INET) {
		it.four.sin_family = AF_INET;
		it.four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		it.size = sizeof it.six;
		it.six.sin6_family = AF_INET6;
		it.six.sin6_addr = in6addr_loopback;
	}
	return it;
}

/* A socket that has the port, and does not hear others. */
static void nobody(int family, int type, struct address *where)
{
	int fd = zt_must(socket(family, type, 0));
	*where = loopback(family);
	zt_must(bind(fd, &where->any, where->size));
	zt_must(getsockname(fd, &where->any, &where->size));
	if (type == SOCK_DGRAM)
		zt_must(connect(fd, &where->any, where->size));
}

static int events(int fd)
{
	struct pollfd polled = {.fd = fd, .events = POLLOUT};
	poll(&polled, 1, 1000);
	return polled.revents;
}

int main(void)
{
	int fds[KINDS], seen[KINDS];
	struct address local[KINDS], peer[KINDS];
	for (int i = 0; i < KINDS; i++) {
		int family = i & 1 ? AF_INET6 : AF_INET, type = i & 2 ? SOCK_STREAM : SOCK_DGRAM;
		if (i & 1 && access("/proc/net/if_inet6", F_OK) < 0)
			family = AF_INET;
		nobody(family, type, &peer[i]);
		fds[i] = zt_must(socket(family, type | SOCK_NONBLOCK, 0));
		int connected = connect(fds[i], &peer[i].any, peer[i].size);
		zt_check(connected == 0 || type == SOCK_STREAM);
		if (type == SOCK_DGRAM)
			zt_same(send(fds[i], "lost", 4, 0), 4);
		seen[i] = events(fds[i]);
		zt_check(seen[i] & POLLERR);
		local[i].size = sizeof local[i].six;
		zt_must(getsockname(fds[i], &local[i].any, &local[i].size));
	}

	zt_ready();

	for (int i = 0; i < KINDS; i++) {
		char c;
		int error = 0;
		struct address now = {.size = sizeof now.six};
		socklen_t size = sizeof error;
		if (local[i].any.sa_family == AF_INET6) {
			zt_must(getsockopt(fds[i], IPPROTO_IPV6, IPV6_V6ONLY, &error, &size));
			zt_same(error, 0);
		}
		zt_same(events(fds[i]), seen[i]);
		zt_must(getsockname(fds[i], &now.any, &now.size));
		zt_same(now.size, local[i].size);
		zt_same(memcmp(&now.any, &local[i].any, now.size), 0);
		if (i & 2) {
			zt_must(getsockopt(fds[i], SOL_SOCKET, SO_ERROR, &error, &size));
			zt_same(error, ECONNREFUSED);
		} else {
			zt_same(recv(fds[i], &c, 1, 0), -1);
			zt_same(errno, ECONNREFUSED);
			zt_same(recv(fds[i], &c, 1, 0), -1);
			zt_same(errno, EAGAIN);
			now.size = sizeof now.six;
			zt_must(getpeername(fds[i], &now.any, &now.size));
			zt_same(memcmp(&now.any, &peer[i].any, now.size), 0);
		}
	}
	return zt_pass();
}
