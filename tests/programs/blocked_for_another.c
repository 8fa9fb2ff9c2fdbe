/* Calls that wait for what another does: open of a named pipe for either end, mq_timedreceive of an empty queue and
 * mq_timedsend to a full one, msgrcv and msgsnd, semop, while the pod is frozen. */
#include "zt_test.h"

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <time.h>

enum { OPENS_TO_READ, OPENS_TO_WRITE, RECEIVES, SENDS, MSGRCV, MSGSND, SEMOP, KINDS };
enum { LARGE = 4096, PATIENCE_S = 3600 };

struct message {
	long type;
	char text[LARGE];
};

static int up[2], empty_id, full_id, sems;
static mqd_t empty, full;
static struct message message = {.type = 7};

static void waits(int kind)
{
	struct timespec until;
	struct sembuf down = {.sem_op = -1};
	char text[8];
	zt_must(clock_gettime(CLOCK_REALTIME, &until));
	until.tv_sec += PATIENCE_S;
	zt_writes(up[1], "u");
	switch (kind) {
	case OPENS_TO_READ:
		zt_reads(zt_must(open("to_read", O_RDONLY)), "hello");
		return;
	case OPENS_TO_WRITE:
		zt_writes(zt_must(open("to_write", O_WRONLY)), "hello");
		return;
	case RECEIVES:
		zt_same(mq_timedreceive(empty, text, sizeof text, NULL, &until), 5);
		return;
	case SENDS:
		zt_must(mq_timedsend(full, "second", 6, 0, &until));
		return;
	case MSGRCV:
		zt_same(msgrcv(empty_id, &message, LARGE, 7, 0), 5);
		return;
	case MSGSND:
		zt_must(msgsnd(full_id, &message, LARGE, 0));
		return;
	default:
		zt_must(semop(sems, &down, 1));
	}
}

static mqd_t queue(const char *name)
{
	char unique[64];
	struct mq_attr attributes = {.mq_maxmsg = 1, .mq_msgsize = 8};
	snprintf(unique, sizeof unique, "/zt_%s_%d", name, (int)getpid());
	mqd_t made = zt_must(mq_open(unique, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
	zt_must(mq_unlink(unique));
	return made;
}

int main(void)
{
	char text[8];
	pid_t children[KINDS];
	struct sembuf one_more = {.sem_op = 1};
	zt_must(pipe(up));
	zt_must(mkfifo("to_read", 0600));
	zt_must(mkfifo("to_write", 0600));
	empty = queue("empty");
	full = queue("full");
	zt_must(mq_send(full, "first", 5, 0));
	empty_id = zt_must(msgget(IPC_PRIVATE, 0600));
	full_id = zt_must(msgget(IPC_PRIVATE, 0600));
	sems = zt_must(semget(IPC_PRIVATE, 1, 0600));
	while (msgsnd(full_id, &message, LARGE, IPC_NOWAIT) == 0)
		;
	for (int kind = 0; kind < KINDS; kind++) {
		children[kind] = zt_must(fork());
		if (children[kind] == 0) {
			waits(kind);
			_exit(0);
		}
	}
	for (int kind = 0; kind < KINDS; kind++)
		zt_same(read(up[0], text, 1), 1);
	zt_sleep_ns(50 * ZT_MS);
	for (int kind = 0; kind < KINDS; kind++)
		zt_same(waitpid(children[kind], NULL, WNOHANG), 0);

	zt_ready();

	zt_sleep_ns(20 * ZT_MS);
	for (int kind = 0; kind < KINDS; kind++)
		zt_same(waitpid(children[kind], NULL, WNOHANG), 0);
	zt_writes(zt_must(open("to_read", O_WRONLY)), "hello");
	zt_reads(zt_must(open("to_write", O_RDONLY)), "hello");
	zt_must(mq_send(empty, "hello", 5, 0));
	zt_same(mq_receive(full, text, sizeof text, NULL), 5);
	zt_must(msgsnd(empty_id, &message, 5, 0));
	zt_same(msgrcv(full_id, &message, LARGE, 0, 0), LARGE);
	zt_must(semop(sems, &one_more, 1));
	for (int kind = 0; kind < KINDS; kind++)
		zt_join(children[kind]);
	zt_same(mq_receive(full, text, sizeof text, NULL), 6);
	zt_must(msgctl(empty_id, IPC_RMID, NULL));
	zt_must(msgctl(full_id, IPC_RMID, NULL));
	zt_must(semctl(sems, 0, IPC_RMID));
	zt_must(unlink("to_read"));
	zt_must(unlink("to_write"));
	return zt_pass();
}
