/* A process names itself in a message (SCM_CREDENTIALS) though nobody has asked for senders, as GDBus
 * does on the way to a bus: over a socket pair that was there before, and over one that is new */
#include "zt_test.h"

#include <sys/socket.h>

static struct ucred self;

static int name_itself(int fd, const char *text)
{
	char control[CMSG_SPACE(sizeof self)] = {0};
	struct iovec part = {(void *)text, strlen(text) + 1};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof control};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_CREDENTIALS;
	head->cmsg_len = CMSG_LEN(sizeof self);
	memcpy(CMSG_DATA(head), &self, sizeof self);
	return (int)sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void check(const int *pair, const char *text)
{
	char got[32] = {0};
	zt_same(zt_must(name_itself(pair[0], text)), strlen(text) + 1);
	zt_same(zt_must(recv(pair[1], got, sizeof got, 0)), strlen(text) + 1);
	zt_check(!strcmp(got, text));
}

int main(void)
{
	int before[2], after[2];
	self = (struct ucred){getpid(), getuid(), getgid()};
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, before));
	check(before, "before");

	zt_ready();

	check(before, "on the old pair");
	zt_must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, after));
	check(after, "on a new pair");
	zt_same(getpid(), self.pid);
	return zt_pass();
}
