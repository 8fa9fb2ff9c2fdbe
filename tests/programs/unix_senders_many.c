/* Messages of one sendmmsg(2) that name their sender themselves, beside others: each tells who that is. */
#include "zt_test.h"

#include <sys/socket.h>

enum { MOST = 6 };

typedef union {
	struct cmsghdr head;
	char room[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int))];
} beside;

static void name_me(struct msghdr *message, beside *control)
{
	const struct ucred me = {getpid(), getuid(), getgid()};
	message->msg_control = control;
	message->msg_controllen = CMSG_SPACE(sizeof me);
	control->head = (struct cmsghdr){CMSG_LEN(sizeof me), SOL_SOCKET, SCM_CREDENTIALS};
	memcpy(CMSG_DATA(&control->head), &me, sizeof me);
}

/* One for each letter, of as many bytes as is its turn; 'n' names its sender. */
static void sends(int to, const char *what, unsigned at_once)
{
	struct mmsghdr messages[MOST] = {0};
	struct iovec text[MOST];
	beside controls[MOST] = {0};
	const unsigned count = (unsigned)strlen(what);
	for (unsigned i = 0; i < count; i++) {
		text[i] = (struct iovec){(void *)(uintptr_t) "message", i + 1};
		messages[i].msg_hdr.msg_iov = &text[i];
		messages[i].msg_hdr.msg_iovlen = 1;
		if (what[i] == 'n')
			name_me(&messages[i].msg_hdr, &controls[i]);
	}
	const beside asked = controls[0];
	for (unsigned done = 0; done < count;) {
		const unsigned sent = (unsigned)zt_must(sendmmsg(to, messages + done, count - done, 0));
		zt_check(sent >= at_once && sent <= count - done);
		done += sent;
	}
	zt_check(memcmp(&asked, &controls[0], sizeof asked) == 0);
	for (unsigned i = 0; i < count; i++)
		zt_same(messages[i].msg_len, i + 1);
}

static void tells(int from, unsigned size, pid_t wanted)
{
	char got[16];
	beside control;
	struct ucred sender;
	struct iovec text = {got, sizeof got};
	struct msghdr message = {
		.msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	zt_same(zt_must(recvmsg(from, &message, 0)), size);
	zt_check(CMSG_FIRSTHDR(&message) && control.head.cmsg_type == SCM_CREDENTIALS);
	memcpy(&sender, CMSG_DATA(&control.head), sizeof sender);
	zt_same(sender.pid, wanted);
}

static void both(const int ends[2], const char *what, unsigned at_once, pid_t sender)
{
	sends(ends[0], what, at_once);
	for (unsigned i = 0; i < strlen(what); i++)
		tells(ends[1], i + 1, sender);
}

static void all(const int ends[2], pid_t sender)
{
	both(ends, "n", 1, sender);
	both(ends, "nn", 2, sender);
	both(ends, "n.", 2, sender);
	both(ends, "..", 2, sender);
	both(ends, "..nn.n", 1, sender);
}

int main(void)
{
	int ends[2];
	zt_must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
	zt_must(setsockopt(ends[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
	all(ends, getpid());

	zt_ready();

	all(ends, getpid());
	pid_t child = zt_must(fork());
	if (child == 0) {
		sends(ends[0], "n.n", 1);
		_exit(0);
	}
	zt_join(child);
	for (unsigned i = 0; i < 3; i++)
		tells(ends[1], i + 1, child);
	struct mmsghdr none = {0};
	zt_same(sendmmsg(ends[0], &none, 0, 0), 0);
	zt_check(sendmmsg(ends[0], (struct mmsghdr *)8, 2, 0) == -1);
	zt_same(errno, EFAULT);
	return zt_pass();
}
