/* Connections that the other side has reset, which nobody has read yet: ECONNRESET, or EPIPE where it had
 * said before that it sends no more; with something to be read first, and without. And what tells a port
 * still that it has no more: after a connection that was refused, and of a listener that was shut down. */
#include "zt_tcp.h"

enum how { RESET, PIPE, PIPE_READ, HOWS };

static void wait_for_error(int fd)
{
	struct pollfd it = {.fd = fd};
	zt_same(poll(&it, 1, 10000), 1);
	zt_check(it.revents & POLLERR);
}

static int failed(enum zt_kind kind, enum how how, const char *unread)
{
	char byte;
	struct zt_tcp tcp = zt_tcp_pair(kind);
	zt_must(close(tcp.listener));
	zt_writes(tcp.server, unread);
	if (how == RESET)
		zt_must(setsockopt(tcp.server, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)));
	zt_must(close(tcp.server));
	if (how == PIPE_READ)
		zt_same(read(tcp.client, &byte, 1), 0);
	if (how != RESET)
		zt_writes(tcp.client, "to nobody");
	wait_for_error(tcp.client);
	return tcp.client;
}

static void expect(int fd, enum how how, const char *unread)
{
	char byte;
	zt_check(zt_events(fd) & POLLERR);
	zt_same(zt_state(fd), TCP_CLOSE);
	if (*unread)
		zt_reads(fd, unread);
	if (how == RESET) {
		zt_same(read(fd, &byte, 1), -1);
		zt_same(errno, ECONNRESET);
	} else {
		zt_same(read(fd, &byte, 1), 0);
		zt_same(zt_get(fd, SOL_SOCKET, SO_ERROR), EPIPE);
	}
	zt_same(zt_get(fd, SOL_SOCKET, SO_ERROR), 0);
	zt_same(read(fd, &byte, 1), 0);
	zt_same(send(fd, "x", 1, MSG_NOSIGNAL), -1);
	zt_same(errno, EPIPE);
}

static struct sockaddr_in name_of(int fd)
{
	struct sockaddr_in name = {0};
	zt_must(getsockname(fd, (struct sockaddr *)&name, &(socklen_t){sizeof name}));
	return name;
}

int main(void)
{
	int fds[2][HOWS][2], kinds = access("/proc/net/if_inet6", F_OK) < 0 ? 1 : 2;
	static const char *const UNREAD[2] = {"", "last words"};
	for (int kind = 0; kind < kinds; kind++)
		for (int how = 0; how < HOWS; how++)
			for (int data = 0; data < 2; data++)
				if (how != PIPE_READ || !data)
					fds[kind][how][data] = failed(kind, how, UNREAD[data]);
	int shut = zt_listener(ZT_FOUR);
	struct sockaddr_in nobody = name_of(shut);
	zt_must(shutdown(shut, SHUT_RDWR));
	int refused = zt_must(socket(AF_INET, SOCK_STREAM, 0));
	zt_same(connect(refused, (struct sockaddr *)&nobody, sizeof nobody), -1);
	zt_same(errno, ECONNREFUSED);
	struct sockaddr_in was = name_of(refused);

	zt_ready();

	for (int kind = 0; kind < kinds; kind++)
		for (int how = 0; how < HOWS; how++)
			for (int data = 0; data < 2; data++)
				if (how != PIPE_READ || !data)
					expect(fds[kind][how][data], how, UNREAD[data]);
	struct sockaddr_in told[2] = {name_of(shut), name_of(refused)};
	zt_same(memcmp(&told[0], &nobody, sizeof nobody), 0);
	zt_same(memcmp(&told[1], &was, sizeof was), 0);
	zt_must(listen(shut, 3));
	struct sockaddr_in now = name_of(shut);
	zt_must(connect(refused, (struct sockaddr *)&now, sizeof now));
	int server = zt_must(accept(shut, NULL, NULL));
	zt_writes(refused, "at last");
	zt_reads(server, "at last");
	return zt_pass();
}
