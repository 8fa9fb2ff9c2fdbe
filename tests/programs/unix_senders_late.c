/* A process asks for the senders of messages (SO_PASSCRED) when it has never done so before, while
 * another waits for a message on that socket. */
#include "zt_test.h"

#include <pthread.h>
#include <sys/socket.h>

static int s[2];

static pid_t sender_of(const char *text)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	char got[64] = {0};
	struct ucred sender = {0};
	struct iovec iov = {.iov_base = got, .iov_len = sizeof got - 1};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	zt_must(recvmsg(s[1], &message, 0));
	if (strcmp(got, text) != 0)
		zt_fail("read \"%s\", not \"%s\"", got, text);
	if (message.msg_controllen >= CMSG_LEN(sizeof sender))
		memcpy(&sender, CMSG_DATA(&control.head), sizeof sender);
	return sender.pid;
}

static void *waits(void *sender)
{
	*(pid_t *)sender = sender_of("to the thread");
	return NULL;
}

int main(void)
{
	int theirs[2];
	zt_must(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, theirs));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_reads(theirs[1], "thread");
		zt_writes(s[0], "to the thread");
		zt_reads(theirs[1], "go");
		zt_writes(s[0], "hello");
		zt_reads(theirs[1], "end");
		_exit(0);
	}
	pid_t thread_saw = 0;
	pthread_t thread;
	zt_same(pthread_create(&thread, NULL, waits, &thread_saw), 0);

	zt_ready();

	zt_must(setsockopt(s[1], SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
	zt_writes(theirs[0], "thread");
	zt_same(pthread_join(thread, NULL), 0);
	zt_same(thread_saw, child);
	zt_writes(theirs[0], "go");
	zt_same(sender_of("hello"), child);
	pid_t grandchild = zt_must(fork()); /* and in processes made from now on */
	if (grandchild == 0) {
		zt_writes(s[0], "mine");
		_exit(sender_of("mine") == getpid() ? 0 : 1);
	}
	zt_join(grandchild);
	zt_writes(theirs[0], "end");
	zt_join(child);
	return zt_pass();
}
