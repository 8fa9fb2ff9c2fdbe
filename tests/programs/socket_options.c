/* Every option of every level that getsockopt answers, by number, set to something else than it had
 * where that is allowed, is what it was. */
#include "zt_test.h"

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { OPTIONS = 128, MOST = 256, SOCKETS = 12 };

static const int levels[] = {SOL_SOCKET, IPPROTO_IP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_IPV6};
enum { LEVELS = sizeof levels / sizeof *levels };

typedef struct {
	socklen_t size;
	unsigned char bytes[MOST];
} value;

static value before[SOCKETS][LEVELS][OPTIONS];

/* Of the moment, of this host, or taken away by asking. */
static bool moves(int level, int option)
{
	static const int of_socket[] = {4, 49, 55, 56, 57, 71, 77}, of_tcp[] = {11, 24, 26, 28, 35};
	for (size_t i = 0; i < sizeof of_socket / sizeof *of_socket; i++)
		if (level == SOL_SOCKET && option == of_socket[i])
			return true;
	for (size_t i = 0; i < sizeof of_tcp / sizeof *of_tcp; i++)
		if (level == IPPROTO_TCP && option == of_tcp[i])
			return true;
	return false;
}

/* Not to be tried: they change what the socket is, or what the test needs of it. */
static bool leave(int level, int option)
{
	return (level == SOL_SOCKET && (option == SO_BINDTODEVICE || option == SO_ATTACH_FILTER ||
					option == SO_DETACH_FILTER || option == 62 /* SO_BINDTOIFINDEX */)) ||
	       (level == IPPROTO_IPV6 && (option == IPV6_ADDRFORM || option == IPV6_V6ONLY)) ||
	       (level == IPPROTO_TCP && (option == TCP_ULP || option == TCP_REPAIR)) ||
	       (level == IPPROTO_UDP && option == 100 /* UDP_ENCAP */);
}

static value get(int fd, int level, int option)
{
	value got = {.size = MOST};
	if (getsockopt(fd, level, option, got.bytes, &got.size))
		got.size = (socklen_t)-1;
	return got;
}

/* How many could be changed. */
static int change_all(int fd)
{
	int changed = 0;
	for (int l = 0; l < LEVELS; l++)
		for (int option = 0; option < OPTIONS; option++) {
			value was = get(fd, levels[l], option);
			int number;
			if (was.size != sizeof number || moves(levels[l], option) || leave(levels[l], option))
				continue;
			memcpy(&number, was.bytes, sizeof number);
			const int other[] = {!number, number + 1, number - 1, 1000, 100000};
			for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
				setsockopt(fd, levels[l], option, &other[i], sizeof other[i]);
				value now = get(fd, levels[l], option);
				if (memcmp(&now, &was, sizeof now)) {
					changed++;
					break;
				}
			}
		}
	return changed;
}

static void attach(int fd)
{
	struct sock_filter all[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_RET | BPF_A, 0)};
	struct sock_fprog program = {.len = 2, .filter = all};
	zt_must(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

static int in4(int type, bool bound)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = zt_must(socket(AF_INET, type, 0));
	change_all(fd);
	if (bound)
		zt_must(bind(fd, (struct sockaddr *)&at, sizeof at));
	if (bound && type == SOCK_STREAM)
		zt_must(listen(fd, 5));
	return fd;
}

static int in6(int type, bool bound)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	int fd = zt_must(socket(AF_INET6, type, 0));
	change_all(fd);
	zt_must(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){1}, sizeof(int)));
	if (bound)
		zt_must(bind(fd, (struct sockaddr *)&at, sizeof at));
	if (bound && type == SOCK_STREAM)
		zt_must(listen(fd, 5));
	return fd;
}

int main(void)
{
	int fds[SOCKETS], n = 0, pair[2];
	fds[n++] = in4(SOCK_STREAM, false);
	fds[n++] = in4(SOCK_STREAM, true);
	fds[n++] = in4(SOCK_DGRAM, false);
	fds[n++] = in4(SOCK_DGRAM, true);
	fds[n++] = in6(SOCK_STREAM, true);
	fds[n++] = in6(SOCK_DGRAM, false);
	fds[n++] = in6(SOCK_DGRAM, true);
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	fds[n++] = pair[0];
	fds[n++] = pair[1];
	fds[n++] = zt_must(socket(AF_UNIX, SOCK_DGRAM, 0));
	fds[n++] = zt_must(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	fds[n++] = zt_must(socket(AF_INET, SOCK_DGRAM, 0)); /* all as the kernel gives it, but a filter */
	zt_same(n, SOCKETS);
	attach(pair[0]);
	attach(fds[n - 1]);
	/* Enough for it to be a test, whatever the kernel and its limits. */
	zt_check(change_all(pair[0]) > 12);
	zt_check(change_all(fds[0]) + change_all(fds[2]) + change_all(fds[5]) > 20);
	for (int i = 0; i < n; i++)
		for (int l = 0; l < LEVELS; l++)
			for (int option = 0; option < OPTIONS; option++)
				if (!moves(levels[l], option))
					before[i][l][option] = get(fds[i], levels[l], option);

	zt_ready();

	for (int i = 0; i < n; i++)
		for (int l = 0; l < LEVELS; l++)
			for (int option = 0; option < OPTIONS; option++) {
				if (moves(levels[l], option))
					continue;
				const value *was = &before[i][l][option], now = get(fds[i], levels[l], option);
				if (now.size != was->size ||
				    (now.size <= MOST && memcmp(now.bytes, was->bytes, now.size)))
					zt_fail("socket %d level %d option %d: %d bytes %#x, were %d bytes %#x", i,
						levels[l], option, (int)now.size, *(const int *)(const void *)now.bytes,
						(int)was->size, *(const int *)(const void *)was->bytes);
			}
	return zt_pass();
}
