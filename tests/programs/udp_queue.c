/* Datagrams that wait to be read: in order, with their senders, living and gone; empty ones; and those
 * that came before a filter, or before the socket got a peer. Halves shut. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <sys/socket.h>

static struct sockaddr_in loopback(void)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int bound(struct sockaddr_in *ret)
{
	socklen_t size = sizeof *ret;
	int fd = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	*ret = loopback();
	zt_must(bind(fd, (struct sockaddr *)ret, sizeof *ret));
	zt_must(getsockname(fd, (struct sockaddr *)ret, &size));
	return fd;
}

static void give(int fd, const char *text, const struct sockaddr_in *to)
{
	zt_same(sendto(fd, text, strlen(text), 0, (const struct sockaddr *)to, sizeof *to), strlen(text));
}

static void take(int fd, const char *text, const struct sockaddr_in *from)
{
	char got[64] = {0};
	struct sockaddr_in source = {0};
	socklen_t size = sizeof source;
	zt_must(recvfrom(fd, got, sizeof got - 1, MSG_DONTWAIT, (struct sockaddr *)&source, &size));
	if (strcmp(got, text) != 0)
		zt_fail("read \"%s\", not \"%s\"", got, text);
	zt_same(ntohs(source.sin_port), ntohs(from->sin_port));
	zt_same(source.sin_addr.s_addr, from->sin_addr.s_addr);
}

static int shut(int how)
{
	struct sockaddr_in at;
	int server = bound(&at), fd = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	zt_must(connect(fd, (struct sockaddr *)&at, sizeof at));
	zt_must(shutdown(fd, how));
	close(server);
	return fd;
}

int main(void)
{
	struct sockaddr_in server_at, living_at, gone_at, filtered_at, peer_at, client_at;
	struct sock_filter nothing[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
	struct sock_fprog program = {.len = 1, .filter = nothing};
	socklen_t size = sizeof client_at;
	int server = bound(&server_at), living = bound(&living_at), gone = bound(&gone_at);
	give(living, "one", &server_at);
	give(gone, "two", &server_at);
	give(living, "", &server_at);
	for (char text[] = "0"; text[0] <= '9'; text[0]++)
		give(text[0] & 1 ? living : gone, text, &server_at);
	give(server, "to myself", &server_at);
	int filtered = bound(&filtered_at);
	give(gone, "unfiltered", &filtered_at);
	zt_must(setsockopt(filtered, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
	zt_must(setsockopt(filtered, SOL_SOCKET, SO_LOCK_FILTER, &(int){1}, sizeof(int)));
	int peer = bound(&peer_at), client = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	zt_must(connect(client, (struct sockaddr *)&peer_at, sizeof peer_at));
	zt_must(getsockname(client, (struct sockaddr *)&client_at, &size));
	give(peer, "from my peer", &client_at);
	close(gone);
	int no_more_in = shut(SHUT_RD), no_more_out = shut(SHUT_WR), neither = shut(SHUT_RDWR);

	zt_ready();

	char byte;
	take(server, "one", &living_at);
	take(server, "two", &gone_at);
	take(server, "", &living_at);
	for (char text[] = "0"; text[0] <= '9'; text[0]++)
		take(server, text, text[0] & 1 ? &living_at : &gone_at);
	take(server, "to myself", &server_at);
	zt_check(recv(server, &byte, 1, MSG_DONTWAIT) == -1);
	zt_same(errno, EAGAIN);
	take(filtered, "unfiltered", &gone_at);
	give(living, "filtered", &filtered_at);
	zt_check(recv(filtered, &byte, 1, MSG_DONTWAIT) == -1);
	zt_check(setsockopt(filtered, SOL_SOCKET, SO_DETACH_FILTER, NULL, 0) == -1);
	take(client, "from my peer", &peer_at);
	zt_writes(client, "and back");
	take(peer, "and back", &client_at);
	signal(SIGPIPE, SIG_IGN);
	zt_same(recv(no_more_in, &byte, 1, 0), 0);
	zt_same(recv(neither, &byte, 1, 0), 0);
	zt_check(send(no_more_out, "x", 1, 0) == -1);
	zt_same(errno, EPIPE);
	zt_check(send(neither, "x", 1, 0) == -1);
	zt_same(errno, EPIPE);
	zt_check(recv(no_more_out, &byte, 1, MSG_DONTWAIT) == -1);
	zt_same(errno, EAGAIN);
	return zt_pass();
}
