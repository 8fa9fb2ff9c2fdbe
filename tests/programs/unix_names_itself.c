/* A process names itself in a message (SCM_CREDENTIALS) though nobody has asked for senders, as GDBus
 * does on the way to a bus: over a socket pair that was there before, and over one that is new */
#include "zt_message.h"

static struct ucred self;

static void check(const int *pair, const char *text)
{
	char got[32] = {0};
	const size_t size = strlen(text) + 1;
	zt_same(zt_send_beside(pair[0], text, size, SCM_CREDENTIALS, &self, sizeof self, MSG_NOSIGNAL), size);
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
