/* Receives that had received a part of all that they wait for: they get all of it, and what comes
 * with it. */
#include "zt_halfway.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

enum { FIRST = 70, WHOLE = 100, COUNT = 4, MINIMUM = 20 };

static int plain[2], message[2], local[2], datagrams, master, slave;
static struct sockaddr_in address;

static void has_bytes(const char *got, int from, int to)
{
	for (int i = from; i < to; i++)
		if (got[i] != zt_bytes[i])
			zt_fail("byte %d is %d, not %d", i, got[i], zt_bytes[i]);
}

static void by_recv(void)
{
	char got[WHOLE];
	zt_same(recv(plain[0], got, WHOLE, MSG_WAITALL), WHOLE);
	has_bytes(got, 0, WHOLE);
}

/* Into many pieces; and in the second part comes a descriptor, which also is the end. */
static void by_recvmsg(void)
{
	char got[WHOLE + 1] = {0};
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec pieces[] = {{got, 50}, {got + 50, 0}, {got + 50, 30}, {got + 80, 1}, {got + 81, 20}};
	struct iovec made[5];
	struct msghdr header = {.msg_iov = pieces,
				.msg_iovlen = 5,
				.msg_control = &control,
				.msg_controllen = sizeof control};
	int fd;
	memcpy(made, pieces, sizeof made);
	zt_same(recvmsg(message[0], &header, MSG_WAITALL), WHOLE);
	has_bytes(got, 0, WHOLE);
	zt_same(header.msg_controllen, CMSG_SPACE(sizeof(int)));
	zt_same(header.msg_flags & MSG_CTRUNC, 0);
	zt_same(control.header.cmsg_type, SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
	zt_same(lseek(fd, 0, SEEK_CUR), 7);
	zt_same(memcmp(pieces, made, sizeof made), 0);
	zt_same(header.msg_iovlen, 5);
}

static void gets_messages(int from)
{
	char got[COUNT][16] = {0};
	struct iovec bodies[COUNT];
	struct mmsghdr headers[COUNT] = {0};
	int error = -1;
	socklen_t size = sizeof error;
	for (int i = 0; i < COUNT; i++) {
		bodies[i] = (struct iovec){got[i], sizeof got[i]};
		headers[i].msg_hdr.msg_iov = &bodies[i];
		headers[i].msg_hdr.msg_iovlen = 1;
	}
	zt_same(recvmmsg(from, headers, COUNT, 0, NULL), COUNT);
	for (int i = 0; i < COUNT; i++) {
		zt_same(headers[i].msg_len, 5 + i);
		zt_same(memcmp(got[i], zt_bytes + i, 5 + (size_t)i), 0);
	}
	zt_must(getsockopt(from, SOL_SOCKET, SO_ERROR, &error, &size));
	zt_same(error, 0);
}

static void by_recvmmsg(void) { gets_messages(datagrams); }
static void by_local_recvmmsg(void) { gets_messages(local[0]); }

static void by_terminal(void)
{
	char got[WHOLE];
	zt_same(read(slave, got, sizeof got), MINIMUM);
	has_bytes(got, 0, MINIMUM);
}

static void sends(int fd, int from, int to) { zt_same(send(fd, zt_bytes + from, (size_t)(to - from), 0), to - from); }

static void sends_datagram(int i)
{
	int fd = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	zt_same(sendto(fd, zt_bytes + i, 5 + (size_t)i, 0, (struct sockaddr *)&address, sizeof address), 5 + i);
	zt_must(close(fd));
}

static void free_plain(void)
{
	sends(plain[1], FIRST, FIRST + 10);
	zt_sleep_ns(20 * ZT_MS);
	zt_none_is_done(1);
	sends(plain[1], FIRST + 10, WHOLE);
}

static void free_message(void)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct iovec body = {zt_bytes + FIRST, WHOLE - FIRST};
	struct msghdr header = {
		.msg_iov = &body, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
	char path[64];
	int fd = zt_file(path, sizeof path, "sent");
	zt_same(write(fd, "seven b", 7), 7);
	unlink(path);
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	zt_same(sendmsg(message[1], &header, 0), WHOLE - FIRST);
}

static void free_datagrams(void)
{
	sends_datagram(2);
	sends_datagram(3);
}

static void free_local(void)
{
	sends(local[1], 2, 9);
	sends(local[1], 3, 11);
}

static void free_terminal(void) { zt_same(write(master, zt_bytes + 7, MINIMUM - 7), MINIMUM - 7); }

static void open_terminal(void)
{
	struct termios raw;
	master = zt_must(posix_openpt(O_RDWR | O_NOCTTY));
	zt_must(grantpt(master));
	zt_must(unlockpt(master));
	slave = zt_must(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
	zt_must(tcgetattr(slave, &raw));
	cfmakeraw(&raw);
	raw.c_cc[VMIN] = MINIMUM;
	zt_must(tcsetattr(slave, TCSANOW, &raw));
	zt_same(write(master, zt_bytes, 7), 7);
}

static void open_datagrams(void)
{
	socklen_t size = sizeof address;
	datagrams = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	zt_must(bind(datagrams, (struct sockaddr *)&address, sizeof address));
	zt_must(getsockname(datagrams, (struct sockaddr *)&address, &size));
	sends_datagram(0);
	sends_datagram(1);
}

int main(void)
{
	static const zt_way ways[] = {
		{by_recv, free_plain},
		{by_recvmsg, free_message},
		{by_recvmmsg, free_datagrams},
		{by_local_recvmmsg, free_local},
		{by_terminal, free_terminal},
	};
	zt_fill();
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, plain));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, message));
	zt_must(socketpair(AF_UNIX, SOCK_DGRAM, 0, local));
	sends(plain[1], 0, FIRST);
	sends(local[1], 0, 5);
	sends(local[1], 1, 7);
	sends(message[1], 0, FIRST);
	open_datagrams();
	open_terminal();
	return zt_halfway(ways, sizeof ways / sizeof *ways);
}
