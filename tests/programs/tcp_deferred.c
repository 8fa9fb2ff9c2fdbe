/* A listener that is told of a client only when that has sent something (TCP_DEFER_ACCEPT), as Apache has one: clients
 * that have connected and sent nothing yet, alone, and with one that has. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

static struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

static int listens(struct sockaddr_in6 *at)
{
	socklen_t size = sizeof *at;
	int fd = zt_must(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0)), seconds = 100;
	zt_must(setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds));
	*at = address;
	zt_must(bind(fd, (struct sockaddr *)at, size));
	zt_must(listen(fd, 8));
	zt_must(getsockname(fd, (struct sockaddr *)at, &size));
	return fd;
}

static int connects(const struct sockaddr_in6 *to)
{
	int fd = zt_must(socket(AF_INET6, SOCK_STREAM, 0));
	zt_must(connect(fd, (const struct sockaddr *)to, sizeof *to));
	return fd;
}

static void accepts(int listener, int client, const char *text)
{
	struct pollfd wanted = {listener, POLLIN, 0};
	struct sockaddr_in6 own, told;
	socklen_t size = sizeof own, told_size = sizeof told;
	zt_same(poll(&wanted, 1, 20000), 1);
	int fd = zt_must(accept(listener, (struct sockaddr *)&told, &told_size));
	zt_must(getsockname(client, (struct sockaddr *)&own, &size));
	zt_same(told.sin6_port, own.sin6_port);
	zt_reads(fd, text);
	zt_writes(fd, "answer");
	zt_reads(client, "answer");
}

static void waits_for_none(int listener)
{
	int fd = accept(listener, NULL, NULL), error = errno;
	zt_same(fd, -1);
	zt_same(error, EAGAIN);
}

int main(void)
{
	struct sockaddr_in6 one, two;
	int listener = listens(&one), busy = listens(&two);
	int silent = connects(&one), first = connects(&two), second = connects(&two), third = connects(&two);
	zt_writes(second, "second");
	waits_for_none(listener);

	zt_ready();

	waits_for_none(listener);
	zt_writes(silent, "at last");
	accepts(listener, silent, "at last");
	accepts(busy, second, "second");
	waits_for_none(busy);
	zt_writes(third, "third");
	accepts(busy, third, "third");
	zt_writes(first, "first");
	accepts(busy, first, "first");
	return zt_pass();
}
