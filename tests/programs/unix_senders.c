/* Who has sent a message (SO_PASSCRED): of those that wait, of those that come later, of a sender that
 * has ended; in one call, in recvmmsg, and on a socket that asks only afterwards. */
#include "zt_test.h"

#include <sys/socket.h>

static union {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(64)];
} control;

static pid_t told(struct msghdr *message)
{
	for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head; head = CMSG_NXTHDR(message, head))
		if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_CREDENTIALS) {
			struct ucred sender;
			memcpy(&sender, CMSG_DATA(head), sizeof sender);
			if (sender.pid) {
				zt_same(sender.uid, getuid());
				zt_same(sender.gid, getgid());
			}
			return sender.pid;
		}
	return -1;
}

static pid_t sender_of(int sock, const char *text)
{
	char got[64] = {0};
	struct iovec iov = {.iov_base = got, .iov_len = sizeof got - 1};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	zt_must(recvmsg(sock, &message, 0));
	if (strcmp(got, text) != 0)
		zt_fail("read \"%s\", not \"%s\"", got, text);
	return told(&message);
}

static void ask(int sock)
{
	zt_must(setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
}

/* That names itself, and hands over a descriptor. */
static void introduce(int sock, const char *text)
{
	char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room,
	};
	struct ucred me = {getpid(), getuid(), getgid()};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &sock, sizeof sock);
	head = CMSG_NXTHDR(&message, head);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_CREDENTIALS;
	head->cmsg_len = CMSG_LEN(sizeof me);
	memcpy(CMSG_DATA(head), &me, sizeof me);
	zt_same(sendmsg(sock, &message, 0), iov.iov_len);
	memcpy(&me, CMSG_DATA(head), sizeof me);
	zt_same(me.pid, getpid());
}

int main(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	int s[3][2], later[2], theirs[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, theirs));
	zt_must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, later));
	for (int i = 0; i < 3; i++) {
		zt_must(socketpair(AF_UNIX, types[i], 0, s[i]));
		zt_writes(s[i][0], "unasked");
		ask(s[i][1]);
		zt_writes(s[i][0], "mine");
	}
	pid_t dead = zt_must(fork());
	if (dead == 0) {
		for (int i = 0; i < 3; i++)
			zt_writes(s[i][0], "last words");
		_exit(0);
	}
	zt_join(dead);
	pid_t child = zt_must(fork());
	if (child == 0) {
		for (int i = 0; i < 3; i++) {
			zt_writes(s[i][0], "child's");
			zt_reads(theirs[1], "more");
			zt_writes(s[i][0], "child's too");
		}
		zt_reads(theirs[1], "later");
		zt_writes(later[0], "to one that asks later");
		zt_writes(later[0], "again");
		zt_writes(later[0], "and again");
		_exit(0);
	}
	zt_writes(theirs[0], "more");

	zt_ready();

	for (int i = 0; i < 3; i++) {
		zt_same(sender_of(s[i][1], "unasked"), 0);
		zt_same(sender_of(s[i][1], "mine"), getpid());
		zt_same(sender_of(s[i][1], "last words"), dead);
		if (types[i] == SOCK_STREAM) { /* what one has sent is glued, if it is there already */
			zt_same(sender_of(s[i][1], "child'schild's too"), child);
		} else {
			zt_same(sender_of(s[i][1], "child's"), child);
			zt_writes(theirs[0], "more");
			zt_same(sender_of(s[i][1], "child's too"), child);
		}
		introduce(s[i][0], "I am");
		zt_same(sender_of(s[i][1], "I am"), getpid());
		zt_writes(s[i][0], "new");
		zt_same(sender_of(s[i][1], "new"), getpid());
	}
	ask(later[1]);
	zt_writes(theirs[0], "later");
	zt_same(sender_of(later[1], "to one that asks later"), child);
	char got[2][32] = {{0}};
	struct iovec iov[2] = {{got[0], sizeof got[0]}, {got[1], sizeof got[1]}};
	char rooms[2][CMSG_SPACE(sizeof(struct ucred))] __attribute__((aligned(8)));
	struct mmsghdr both[2];
	zt_join(child);
	for (int i = 0; i < 2; i++)
		both[i].msg_hdr = (struct msghdr){
			.msg_iov = &iov[i], .msg_iovlen = 1, .msg_control = rooms[i], .msg_controllen = sizeof rooms[i],
		};
	zt_same(recvmmsg(later[1], both, 2, 0, NULL), 2);
	for (int i = 0; i < 2; i++)
		zt_same(told(&both[i].msg_hdr), child);
	zt_check(strcmp(got[0], "again") == 0 && strcmp(got[1], "and again") == 0);
	return zt_pass();
}
