/* System V message queues: messages with their types, in order, one who waits for room and one for a
 * message; and what msgctl tells. */
#include "zt_test.h"

#include <sys/ipc.h>
#include <sys/msg.h>

#define KEY 0x7a617033

struct message {
	long type;
	char text[4000];
};

static void send_text(int queue, long type, const char *text)
{
	struct message message = {.type = type};
	strcpy(message.text, text);
	zt_must(msgsnd(queue, &message, strlen(text), 0));
}

static void expect(int queue, long wanted, long type, const char *text)
{
	struct message message;
	zt_same(zt_must(msgrcv(queue, &message, sizeof message.text, wanted, 0)), strlen(text));
	zt_same(message.type, type);
	zt_check(!memcmp(message.text, text, strlen(text)));
}

int main(void)
{
	int queue = zt_must(msgget(KEY, IPC_CREAT | IPC_EXCL | 0620));
	int full = zt_must(msgget(IPC_PRIVATE, 0600));
	int empty = zt_must(msgget(IPC_PRIVATE, 0600));
	struct msqid_ds was, now;
	zt_must(msgctl(full, IPC_STAT, &was));
	was.msg_qbytes = 3000;
	zt_must(msgctl(full, IPC_SET, &was));
	send_text(queue, 3, "one");
	send_text(queue, 1, "two");
	send_text(queue, 3, "");
	send_text(queue, 2, "four");
	expect(queue, 2, 2, "four");
	static struct message large = {.type = 5};
	memset(large.text, 'x', 2000);
	zt_must(msgsnd(full, &large, 2000, 0));
	pid_t sender = zt_must(fork());
	if (!sender) {
		zt_must(msgsnd(full, &large, 1500, 0));
		_exit(0);
	}
	pid_t receiver = zt_must(fork());
	if (!receiver) {
		expect(empty, 0, 8, "at last");
		_exit(0);
	}
	usleep(50000);
	zt_must(msgctl(queue, IPC_STAT, &was));

	zt_ready();

	zt_must(msgctl(queue, IPC_STAT, &now));
	zt_same(now.msg_perm.__key, KEY);
	zt_same(now.msg_perm.mode, was.msg_perm.mode);
	zt_same(now.msg_stime, was.msg_stime);
	zt_same(now.msg_rtime, was.msg_rtime);
	zt_same(now.msg_ctime, was.msg_ctime);
	zt_same(now.msg_qnum, 3);
	zt_same(now.msg_qbytes, was.msg_qbytes);
	zt_same(now.msg_lspid, getpid());
	zt_same(now.msg_lrpid, getpid());
	zt_must(msgctl(full, IPC_STAT, &now));
	zt_same(now.msg_qbytes, 3000);
	zt_same(msgget(KEY, 0), queue);
	expect(queue, -2, 1, "two");
	expect(queue, 0, 3, "one");
	expect(queue, 0, 3, "");
	struct message none;
	zt_check(msgrcv(queue, &none, sizeof none.text, 0, IPC_NOWAIT) == -1 && errno == ENOMSG);
	zt_same(zt_must(msgrcv(full, &none, sizeof none.text, 0, 0)), 2000);
	zt_same(zt_must(msgrcv(full, &none, sizeof none.text, 0, 0)), 1500);
	send_text(empty, 8, "at last");
	int status;
	for (int i = 0; i < 2; i++) {
		zt_check(waitpid(-1, &status, 0) > 0);
		zt_same(status, 0);
	}
	zt_must(msgctl(queue, IPC_RMID, NULL));
	zt_must(msgctl(full, IPC_RMID, NULL));
	zt_must(msgctl(empty, IPC_RMID, NULL));
	zt_check(msgget(KEY, 0) == -1 && errno == ENOENT);
	return zt_pass();
}
