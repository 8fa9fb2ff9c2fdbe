/* Calls that natively give less than was asked for, made over and over: none waits for the rest. */
#include "zt_halfway.h"

#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <termios.h>

enum { SIZE = 100, ROOM = 1000, PIPE = 65536 };

static atomic_int enough;
static int file;

static void *by_datagram(void *arg)
{
	char got[ROOM];
	int s[2];
	zt_must(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	do {
		zt_same(send(s[0], zt_bytes, SIZE, 0), SIZE);
		zt_same(recv(s[1], got, ROOM, MSG_WAITALL), SIZE);
	} while (!atomic_load(&enough));
	return arg;
}

static void *by_record(void *arg)
{
	char got[ROOM];
	struct iovec halves[] = {{got, SIZE / 2}, {got + SIZE / 2, ROOM - SIZE / 2}};
	struct msghdr header = {.msg_iov = halves, .msg_iovlen = 2};
	int s[2];
	zt_must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	do {
		zt_same(send(s[0], zt_bytes, SIZE, 0), SIZE);
		zt_same(recvmsg(s[1], &header, MSG_WAITALL), SIZE);
	} while (!atomic_load(&enough));
	return arg;
}

static void *by_messages(void *arg)
{
	char got[ROOM];
	struct iovec body = {got, ROOM};
	struct mmsghdr headers[2] = {{.msg_hdr = {.msg_iov = &body, .msg_iovlen = 1}},
				     {.msg_hdr = {.msg_iov = &body, .msg_iovlen = 1}}};
	int s[2];
	zt_must(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	do {
		zt_same(send(s[0], zt_bytes, SIZE, 0), SIZE);
		zt_same(recvmmsg(s[1], headers, 2, MSG_WAITFORONE, NULL), 1);
		zt_same(headers[0].msg_len, SIZE);
	} while (!atomic_load(&enough));
	return arg;
}

static void *by_peek(void *arg)
{
	char got[ROOM];
	int s[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	do {
		zt_same(send(s[0], zt_bytes, SIZE, 0), SIZE);
		zt_same(recv(s[1], got, ROOM, MSG_PEEK | MSG_WAITALL), SIZE);
		zt_same(recv(s[1], got, ROOM, 0), SIZE);
		zt_same(memcmp(got, zt_bytes, SIZE), 0);
	} while (!atomic_load(&enough));
	return arg;
}

static void *by_full_pipe(void *arg)
{
	static char got[PIPE];
	struct iovec all = {zt_bytes, ZT_TOTAL};
	int p[2], other[2];
	zt_must(pipe(p));
	zt_must(pipe(other));
	do {
		off_t offset = 0;
		zt_same(sendfile(p[1], file, &offset, ZT_TOTAL), PIPE);
		zt_same(offset, PIPE);
		zt_same(tee(p[0], other[1], ZT_TOTAL, 0), PIPE);
		zt_same(read(p[0], got, PIPE), PIPE);
		zt_same(read(other[0], got, PIPE), PIPE);
		zt_same(vmsplice(p[1], &all, 1, 0), PIPE);
		zt_same(splice(p[0], NULL, other[1], NULL, ZT_TOTAL, 0), PIPE);
		all.iov_base = got;
		all.iov_len = PIPE;
		zt_same(vmsplice(other[0], &all, 1, 0), PIPE);
		all = (struct iovec){zt_bytes, ZT_TOTAL};
	} while (!atomic_load(&enough));
	return arg;
}

static void *by_nonblocking(void *arg)
{
	static char got[ZT_TOTAL];
	int p[2];
	zt_must(pipe2(p, O_NONBLOCK));
	do {
		zt_same(write(p[1], zt_bytes, ZT_TOTAL), PIPE);
		zt_same(read(p[0], got, ZT_TOTAL), PIPE);
	} while (!atomic_load(&enough));
	return arg;
}

static void *by_terminal(void *arg)
{
	char got[ROOM];
	struct termios raw;
	int master = zt_must(posix_openpt(O_RDWR | O_NOCTTY));
	zt_must(grantpt(master));
	zt_must(unlockpt(master));
	int slave = zt_must(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
	zt_must(tcgetattr(slave, &raw));
	cfmakeraw(&raw);
	zt_must(tcsetattr(slave, TCSANOW, &raw));
	do {
		zt_same(write(master, zt_bytes, SIZE), SIZE);
		for (ssize_t n = 0; n < SIZE;)
			n += zt_must(read(slave, got, ROOM));
	} while (!atomic_load(&enough));
	return arg;
}

static void *by_copy(void *arg)
{
	char path[64];
	int copy = zt_file(path, sizeof path, "copy");
	unlink(path);
	do {
		off_t from = 1, to = 0;
		zt_same(copy_file_range(file, &from, copy, &to, 2 * ZT_TOTAL, 0), ZT_TOTAL - 1);
	} while (!atomic_load(&enough));
	return arg;
}

int main(void)
{
	void *(*const ways[])(void *) = {
		by_datagram, by_record, by_messages, by_peek, by_full_pipe, by_nonblocking, by_terminal, by_copy,
	};
	enum { COUNT = sizeof ways / sizeof *ways };
	pthread_t thread[COUNT];
	char path[64];
	zt_fill();
	file = zt_file(path, sizeof path, "from");
	unlink(path);
	zt_same(write(file, zt_bytes, ZT_TOTAL), ZT_TOTAL);
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_create(&thread[i], NULL, ways[i], NULL), 0);
	zt_sleep_ns(50 * ZT_MS);
	zt_ready();
	atomic_store(&enough, 1);
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_join(thread[i], NULL), 0);
	return zt_pass();
}
