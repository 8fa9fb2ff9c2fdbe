/* Listening MPTCP sockets, as Go's servers are, take connections of clients that know TCP only, and so
 * do those that wait already. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static struct sockaddr_in at = {.sin_family = AF_INET};
static int protocol = IPPROTO_MPTCP;

static int ask(int fd, int option)
{
	int value = -1;
	zt_must(getsockopt(fd, SOL_SOCKET, option, &value, &(socklen_t){sizeof value}));
	return value;
}

static int client(void)
{
	int fd = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	zt_must(connect(fd, (struct sockaddr *)&at, sizeof at));
	return fd;
}

static void talk(int listener, int one)
{
	int other = zt_must(accept(listener, NULL, NULL));
	zt_writes(one, "there");
	zt_reads(other, "there");
	zt_writes(other, "back");
	zt_reads(one, "back");
	zt_must(close(one));
	zt_must(close(other));
}

int main(void)
{
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	socklen_t size = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM, protocol);
	if (listener == -1) { /* a kernel without it: Go does the same then */
		protocol = IPPROTO_TCP;
		listener = zt_must(socket(AF_INET, SOCK_STREAM, protocol));
	}
	int fresh = zt_must(socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, protocol));
	zt_must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)));
	zt_must(bind(listener, (struct sockaddr *)&at, size));
	zt_must(getsockname(listener, (struct sockaddr *)&at, &size));
	zt_must(listen(listener, 5));
	int talks = client(), accepted = zt_must(accept(listener, NULL, NULL));
	int waits = client();

	zt_ready();

	zt_same(ask(listener, SO_PROTOCOL), protocol);
	zt_same(ask(fresh, SO_PROTOCOL), protocol);
	zt_same(ask(listener, SO_ACCEPTCONN), 1);
	zt_same(ask(listener, SO_REUSEADDR), 1);
	zt_writes(accepted, "hello");
	zt_reads(talks, "hello");
	talk(listener, waits);
	talk(listener, client());
	return zt_pass();
}
