/* Sends that had sent a part: all is sent, once. */
#include "zt_halfway.h"

#include <sys/socket.h>

enum { MESSAGES = 6, DATAGRAM = 30000, DATAGRAMS = 40 };

static int plain[2], message[2], messages[2], datagrams[2];
static struct iovec pieces[ZT_PIECES], as_made[ZT_PIECES], small[ZT_MANY];

static void by_send(void) { zt_same(send(plain[1], zt_bytes, ZT_TOTAL, 0), ZT_TOTAL); }

static void by_sendmsg(void)
{
	struct msghdr header = {.msg_iov = pieces, .msg_iovlen = ZT_PIECES};
	const struct msghdr made = header;
	zt_same(sendmsg(message[1], &header, 0), ZT_TOTAL);
	zt_same(memcmp(&header, &made, sizeof made), 0);
}

/* The same bytes, in messages of which some are larger than what the socket takes at once. */
static void by_sendmmsg(void)
{
	static const int entries[MESSAGES] = {1, 30, 1, 1, 2, 5};
	struct mmsghdr headers[MESSAGES] = {0};
	for (int i = 0, at = 0; i < MESSAGES; at += entries[i++]) {
		headers[i].msg_hdr.msg_iov = small + at;
		headers[i].msg_hdr.msg_iovlen = (size_t)entries[i];
	}
	zt_same(sendmmsg(messages[1], headers, MESSAGES, 0), MESSAGES);
	for (int i = 0; i < MESSAGES; i++) {
		size_t size = 0;
		for (size_t k = 0; k < headers[i].msg_hdr.msg_iovlen; k++)
			size += headers[i].msg_hdr.msg_iov[k].iov_len;
		zt_same(headers[i].msg_len, size);
	}
}

static void by_datagrams(void)
{
	static struct iovec bodies[DATAGRAMS];
	struct mmsghdr headers[DATAGRAMS] = {0};
	for (int i = 0; i < DATAGRAMS; i++) {
		bodies[i] = (struct iovec){zt_bytes + i * 1000, DATAGRAM};
		headers[i].msg_hdr.msg_iov = &bodies[i];
		headers[i].msg_hdr.msg_iovlen = 1;
	}
	zt_same(sendmmsg(datagrams[1], headers, DATAGRAMS, 0), DATAGRAMS);
	for (int i = 0; i < DATAGRAMS; i++)
		zt_same(headers[i].msg_len, DATAGRAM);
}

static void free_plain(void) { zt_drains(plain[0], ZT_TOTAL); }
static void free_messages(void) { zt_drains(messages[0], ZT_TOTAL); }

static void free_message(void)
{
	zt_same(memcmp(pieces, as_made, sizeof pieces), 0);
	zt_drains(message[0], ZT_TOTAL);
	zt_same(memcmp(pieces, as_made, sizeof pieces), 0);
}

static void free_datagrams(void)
{
	static char got[DATAGRAM + 1];
	for (int i = 0; i < DATAGRAMS; i++) {
		zt_same(recv(datagrams[0], got, sizeof got, 0), DATAGRAM);
		zt_same(memcmp(got, zt_bytes + i * 1000, DATAGRAM), 0);
	}
	zt_check(recv(datagrams[0], got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

int main(void)
{
	static const zt_way ways[] = {
		{by_send, free_plain},
		{by_sendmsg, free_message},
		{by_sendmmsg, free_messages},
		{by_datagrams, free_datagrams},
	};
	zt_fill();
	zt_cut_up(pieces, zt_bytes);
	zt_cut_up_small(small, zt_bytes);
	memcpy(as_made, pieces, sizeof pieces);
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, plain));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, message));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, messages));
	zt_must(socketpair(AF_UNIX, SOCK_DGRAM, 0, datagrams));
	return zt_halfway(ways, sizeof ways / sizeof *ways);
}
