/* A sendmsg that had sent a part, with a descriptor: that is sent once. */
#include "../zt_halfway.h"

#include <sys/socket.h>

static int message[2];
static struct iovec pieces[ZT_PIECES], as_made[ZT_PIECES];

static void by_sendmsg(void)
{
	union {
		struct cmsghdr header;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.header = {CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}};
	struct msghdr header = {.msg_iov = pieces,
				.msg_iovlen = ZT_PIECES,
				.msg_control = &control,
				.msg_controllen = sizeof control};
	const struct msghdr made = header;
	int fd = zt_must(open("/dev/null", O_RDONLY));
	memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
	zt_same(sendmsg(message[1], &header, 0), ZT_TOTAL);
	zt_same(memcmp(&header, &made, sizeof made), 0);
}

/* Exactly one descriptor comes, with the first bytes. */
static void free_message(void)
{
	static char got[ZT_TOTAL];
	size_t n = 0;
	int descriptors = 0;
	zt_same(memcmp(pieces, as_made, sizeof pieces), 0);
	while (n < ZT_TOTAL) {
		char control[CMSG_SPACE(sizeof(int))];
		struct iovec body = {got + n, ZT_TOTAL - n};
		struct msghdr header = {.msg_iov = &body,
					.msg_iovlen = 1,
					.msg_control = control,
					.msg_controllen = sizeof control};
		n += (size_t)zt_must(recvmsg(message[0], &header, 0));
		descriptors += header.msg_controllen > 0;
		zt_same(header.msg_flags & MSG_CTRUNC, 0);
	}
	zt_same(descriptors, 1);
	zt_same(memcmp(got, zt_bytes, ZT_TOTAL), 0);
	zt_same(memcmp(pieces, as_made, sizeof pieces), 0);
}

int main(void)
{
	static const zt_way way = {by_sendmsg, free_message};
	zt_fill();
	zt_cut_up(pieces, zt_bytes);
	memcpy(as_made, pieces, sizeof pieces);
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, message));
	return zt_halfway(&way, 1);
}
