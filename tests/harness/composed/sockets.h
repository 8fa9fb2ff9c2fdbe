/* Sockets, what waits in them, and descriptors in flight. */
#ifndef COMPOSED_SOCKETS_H
#define COMPOSED_SOCKETS_H

#include "../../programs/zt_message.h"
#include "composed.h"
#include "descriptors.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

/* pair TYPE MESSAGES SIZE ENDING BACK: messages wait on both sides, and a half or an end is shut.
 */
static void do_pair(const int *a)
{
	static const int TYPES[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	int ends[2], size = 1 + a[2] % 2999, seed = a[1] + a[2];
	char data[3000];
	if (socketpair(AF_UNIX, pick_from(TYPES, a[0]) | (a[0] & 4 ? SOCK_NONBLOCK : 0), 0, ends))
		return;
	fill(data, sizeof data, seed);
	keep(ends[0]);
	keep(ends[1]);
	for (int i = 0; i < 2; i++) {
		int sent = 0, messages = (i ? a[1] : a[4]) % 5;
		while (sent < messages && send(ends[i], data, (size_t)size, MSG_DONTWAIT) == size)
			sent++;
		expect(ends[!i], sent, size, seed);
	}
	int kind = (unsigned)a[3] % 8;
	if (kind < 3)
		shutdown(ends[0], kind);
	if (kind == 3 && (unsigned)a[4] % 5 == 0 && !shares_numbers && close(ends[1]) == 0 &&
	    ends[1] < NUMBERS)
		numbers[ends[1]] = (struct number){0};
}

static void consume_connection(int fd, const struct number *it)
{
	char data[8];
	for (int i = 0; i < it->messages; i++) {
		int served = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
		if (served < 0)
			zt_fail("process %d: fd %d has %d connections, of %d", (int)getpid(), fd, i,
				it->messages);
		zt_check(read(served, data, sizeof data) == -1 && errno == EAGAIN);
		zt_same(send(served, "late", 4, 0), 4);
		close(served);
	}
}

static void wait_to_be_accepted(int listener, int type, struct sockaddr *address, socklen_t length,
				int count)
{
	int connected = 0;
	while (connected <= count && fcntl(listener, F_GETFL) >= 0) {
		int client = keep(socket(AF_UNIX, type, 0));
		if (client < 0 || connect(client, address, length))
			break;
		connected++;
	}
	if (listener < NUMBERS) {
		numbers[listener].messages = connected;
		numbers[listener].consume = connected ? consume_connection : NULL;
	}
}

/* listen TYPE NAME CONNECTED SENT: a socket with a name; who connects was accepted, or waits. */
static void do_listen(const int *a)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char name[32];
	static const int TYPES[] = {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM};
	int type = pick_from(TYPES, a[0]);
	int fd = keep(socket(AF_UNIX, type, 0));
	new_name(name, "socket");
	if (fd < 0)
		return;
	socklen_t length = sizeof address;
	if (a[1] % 4 == 1)
		length = offsetof(struct sockaddr_un, sun_path) + 1 +
			 (socklen_t)snprintf(address.sun_path + 1, 100, "zt-%d-%s", getpid(), name);
	else
		strcpy(address.sun_path, name);
	if (a[1] % 4 == 3 || bind(fd, (struct sockaddr *)&address, length))
		return;
	if (a[1] % 4 == 2)
		a[2] % 2 ? unlink(name) : rename(name, "moved-socket");
	if (type == SOCK_DGRAM || a[2] % 3 == 0)
		return;
	listen(fd, 5);
	if (a[2] % 3 == 2)
		wait_to_be_accepted(fd, type, (struct sockaddr *)&address, length, a[3] % 3);
	if (a[2] % 3 == 1) {
		int client = keep(socket(AF_UNIX, type, 0));
		if (connect(client, (struct sockaddr *)&address, length) == 0) {
			int served = keep(accept(fd, NULL, NULL));
			if (a[3] % 2 && send(client, "question", 8, 0) == 8 && served >= 0)
				send(served, "answer", 6, 0);
		}
	}
}

static bool send_number(int to, int fd, const char *data, size_t size)
{
	return zt_send_beside(to, data, size, SCM_RIGHTS, &fd, sizeof fd, MSG_DONTWAIT) == (ssize_t)size;
}

/* What comes out is the description that went in: of the number that still has it. */
static void consume_flight(int fd, const struct number *it)
{
	int found = -1;
	char data[100], control[256];
	struct iovec part = {data, sizeof data};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof control};
	ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
	struct cmsghdr *files = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
	while (files && files->cmsg_type != SCM_RIGHTS)
		files = CMSG_NXTHDR(&message, files);
	if (n != it->size || files == NULL)
		zt_fail("process %d: fd %d gave %zd bytes, of %d, and %s descriptor", (int)getpid(),
			fd, n, it->size, files ? "a" : "no");
	memcpy(&found, CMSG_DATA(files), sizeof found);
	if (numbers[it->sent].open && numbers[it->sent].birth == it->sent_birth &&
	    syscall(SYS_kcmp, getpid(), getpid(), 0 /* KCMP_FILE */, found, it->sent) > 0)
		zt_fail("process %d: what fd %d was sent is not fd %d", (int)getpid(), fd,
			it->sent);
	close(found);
}

/* flight TYPE NUMBER SIZE CREDENTIALS: a descriptor is under way, and perhaps nowhere else any
 * more. Not to itself: once it is closed, the kernel clears that away when it happens to look. */
static void do_flight(const int *a)
{
	static const int TYPES[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	int ends[2], size = 1 + a[2] % 99, on = 1;
	char data[100];
	if (socketpair(AF_UNIX, pick_from(TYPES, a[0]), 0, ends))
		return;
	keep(ends[0]);
	keep(ends[1]);
	int fd = open_number(a[1]);
	if (ends[1] >= NUMBERS || fd < 0 || fd == ends[1])
		return;
	if (a[3] & 1)
		setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
	fill(data, sizeof data, a[2]);
	if (!send_number(ends[0], fd, data, (size_t)size))
		return;
	numbers[ends[1]].size = size;
	numbers[ends[1]].sent = fd;
	numbers[ends[1]].sent_birth = numbers[fd].birth;
	numbers[ends[1]].consume = consume_flight;
	if (a[3] & 2 && !shares_numbers && close(fd) == 0)
		numbers[fd] = (struct number){0};
}

static int bound(int family, int type, struct sockaddr_storage *address, socklen_t *length)
{
	int fd = keep(socket(family, type, 0));
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
	memset(address, 0, sizeof *address);
	address->ss_family = (sa_family_t)family;
	if (family == AF_INET)
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		v6->sin6_addr = in6addr_loopback;
	*length = family == AF_INET ? sizeof *v4 : sizeof *v6;
	if (fd < 0 || bind(fd, (struct sockaddr *)address, *length))
		return -1;
	getsockname(fd, (struct sockaddr *)address, length);
	return fd;
}

/* inet KIND MESSAGES SIZE CONNECTED: sockets of UDP with what was sent to them, of TCP without
 * peers. */
static void do_inet(const int *a)
{
	int family = a[0] & 1 ? AF_INET6 : AF_INET, size = 1 + a[2] % 1400;
	struct sockaddr_storage address, other;
	socklen_t length, other_length;
	char data[1400];
	if (a[0] & 2) {
		int fd = bound(family, SOCK_STREAM, &address, &length);
		if (fd >= 0 && a[0] & 4)
			listen(fd, a[1]);
		return;
	}
	int to = bound(family, SOCK_DGRAM, &address, &length);
	if (to < 0 || a[0] & 4)
		return;
	int from = bound(family, SOCK_DGRAM, &other, &other_length), sent = 0;
	if (from < 0)
		return;
	fill(data, sizeof data, a[2]);
	if (a[3] & 1 && connect(from, (struct sockaddr *)&address, length))
		return;
	while (sent < a[1] % 5 &&
	       sendto(from, data, (size_t)size, 0, (struct sockaddr *)&address, length) == size)
		sent++;
	if (a[3] & 2 && connect(to, (struct sockaddr *)&other, other_length) == 0 && a[3] & 4)
		shutdown(to, SHUT_WR);
	expect(to, sent, size, a[2]);
}

/* option NUMBER WHICH VALUE */
static void do_option(const int *a)
{
	static const int OPTIONS[][2] = {
		{SOL_SOCKET, SO_REUSEADDR},
		{SOL_SOCKET, SO_KEEPALIVE},
		{SOL_SOCKET, SO_SNDBUF},
		{SOL_SOCKET, SO_RCVBUF},
		{SOL_SOCKET, SO_PRIORITY},
		{SOL_SOCKET, SO_PASSCRED},
		{SOL_SOCKET, SO_RCVLOWAT},
		{SOL_SOCKET, SO_TIMESTAMP},
		{SOL_SOCKET, SO_BROADCAST},
		{SOL_SOCKET, SO_OOBINLINE},
		{SOL_SOCKET, SO_DONTROUTE},
		{SOL_SOCKET, 76 /* PASSPIDFD */},
		{SOL_SOCKET, SO_BUSY_POLL},
		{SOL_SOCKET, SO_TIMESTAMPING},
		{SOL_SOCKET, 46 /* BUSY_POLL */},
		{IPPROTO_IP, IP_TOS},
		{IPPROTO_IP, IP_TTL},
		{IPPROTO_IP, IP_PKTINFO},
		{IPPROTO_IP, IP_RECVERR},
		{IPPROTO_IPV6, IPV6_V6ONLY},
		{IPPROTO_IPV6, IPV6_UNICAST_HOPS},
		{IPPROTO_IPV6, IPV6_TCLASS},
		{IPPROTO_TCP, TCP_NODELAY},
		{IPPROTO_TCP, TCP_KEEPIDLE},
		{IPPROTO_TCP, TCP_DEFER_ACCEPT},
		{IPPROTO_TCP, TCP_CORK},
		{IPPROTO_TCP, TCP_USER_TIMEOUT},
		{IPPROTO_UDP, UDP_GRO},
	};
	const int *option = pick_from(OPTIONS, a[1]);
	struct timeval patience = {.tv_sec = a[2], .tv_usec = 4000};
	struct linger linger = {.l_onoff = a[2] & 1, .l_linger = a[2] % 100};
	int fd = open_number(a[0]), type;
	socklen_t length = sizeof type;
	for (int i = 0; i < NUMBERS && getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length); i++)
		fd = open_number(i);
	setsockopt(fd, option[0], option[1], &a[2], sizeof a[2]);
	if (a[2] % 7 == 0)
		setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	if (a[2] % 7 == 1)
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
}

#endif
