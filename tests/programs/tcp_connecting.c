/* connect(2) to a listener that has as many to accept as it takes: it comes about once there is room,
 * from the same address, also for a thread that waits within the call. */
#include "zt_tcp.h"

#include <pthread.h>

enum { WAITING = 2, MOST_MS = 100000 };

static struct sockaddr_in6 there;
static socklen_t size;

static int state_of(int fd)
{
	struct tcp_info info;
	socklen_t length = sizeof info;
	zt_must(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
	return info.tcpi_state;
}

static void *connects(void *arg)
{
	int fd = *(int *)arg;
	zt_must(connect(fd, (struct sockaddr *)&there, size));
	return NULL;
}

static in_port_t port_of(int fd)
{
	struct sockaddr_in6 name;
	socklen_t length = sizeof name;
	zt_must(getsockname(fd, (struct sockaddr *)&name, &length));
	return name.sin6_port; /* where that of IPv4 is, too */
}

/* Two wait to be accepted, one is on its way, and so is one in a thread. */
static int fill(int fds[4], pthread_t *thread)
{
	int listener = zt_listener(ZT_FOUR);
	zt_must(listen(listener, WAITING - 1));
	size = zt_address(listener, ZT_FOUR, &there);
	for (int i = 0; i < WAITING; i++)
		fds[i] = zt_connect(listener, ZT_FOUR);
	fds[2] = zt_must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	zt_same(connect(fds[2], (struct sockaddr *)&there, size), -1);
	zt_same(errno, EINPROGRESS);
	zt_same(state_of(fds[2]), TCP_SYN_SENT);
	fds[3] = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	zt_same(pthread_create(thread, NULL, connects, &fds[3]), 0);
	while (state_of(fds[3]) != TCP_SYN_SENT)
		zt_sleep_ns(ZT_MS);
	return listener;
}

int main(void)
{
	int fds[4];
	in_port_t ports[4];
	pthread_t thread;
	int listener = fill(fds, &thread);
	for (int i = 0; i < 4; i++)
		ports[i] = port_of(fds[i]);

	zt_ready();

	for (int i = 0; i < 4; i++)
		zt_same(port_of(fds[i]), ports[i]);
	bool seen[4] = {false};
	for (int n = 0; n < 4; n++) {
		struct sockaddr_in6 from;
		socklen_t length = sizeof from;
		int i = 0, server = zt_must(accept(listener, (struct sockaddr *)&from, &length));
		while (i < 4 && ports[i] != from.sin6_port)
			i++;
		zt_check(i < 4 && !seen[i]);
		zt_check((n < WAITING) == (i < WAITING));
		seen[i] = true;
		if (i == 3)
			zt_same(pthread_join(thread, NULL), 0);
		struct pollfd polled = {.fd = fds[i], .events = POLLOUT};
		zt_same(poll(&polled, 1, MOST_MS), 1);
		zt_same(polled.revents, POLLOUT);
		int error = 77;
		length = sizeof error;
		zt_must(getsockopt(fds[i], SOL_SOCKET, SO_ERROR, &error, &length));
		zt_same(error, 0);
		zt_same(write(fds[i], "hello", 5), 5);
		char text[8];
		zt_same(read(server, text, sizeof text), 5);
		zt_must(close(server));
	}
	return zt_pass();
}
