/* Who waits for a System V semaphore or a message is served in turn. */
#include "zt_test.h"

#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/syscall.h>

enum { WAITERS = 5, TEXT = 4096 };
struct message {
	long type;
	char text[TEXT];
};

static int set, queue, full, told[2];

/* Until a child is asleep in the kernel, in the call that it waits in. Whom its tracer has stopped on the
 * way in shows that call, too. */
static void await_asleep(pid_t child, int call)
{
	char path[2][64], state = '?';
	snprintf(path[0], sizeof path[0], "/proc/%d/syscall", (int)child);
	snprintf(path[1], sizeof path[1], "/proc/%d/stat", (int)child);
	for (int in = -1; in != call || state != 'S'; zt_sleep_ns(ZT_MS)) {
		FILE *file = fopen(path[0], "r"), *stat = fopen(path[1], "r");
		zt_check(file != NULL && stat != NULL);
		if (fscanf(file, "%d", &in) != 1)
			in = -1;
		zt_same(fscanf(stat, "%*d %*s %c", &state), 1);
		fclose(file);
		fclose(stat);
	}
}

static void takes_a_turn(char name)
{
	struct sembuf take = {0, -1, 0}, give = {0, 1, 0};
	zt_must(syscall(SYS_semtimedop, set, &take, 1, NULL));
	zt_same(write(told[1], &name, 1), 1);
	zt_must(semop(set, &give, 1));
}

static void receives(char name)
{
	struct message got;
	zt_same(msgrcv(queue, &got, TEXT, 0, 0), 1);
	zt_same(got.text[0], name);
}

static void sends(char name)
{
	struct message one = {1, {name}};
	zt_must(msgsnd(full, &one, TEXT, 0));
}

static void start(pid_t *children, void (*what)(char), int call)
{
	for (int i = 0; i < WAITERS; i++) {
		children[i] = zt_must(fork());
		if (!children[i]) {
			what((char)('a' + i));
			_exit(0);
		}
		await_asleep(children[i], call);
	}
}

int main(void)
{
	pid_t takers[WAITERS], receivers[WAITERS], senders[WAITERS];
	set = zt_must(semget(IPC_PRIVATE, 1, 0600));
	queue = zt_must(msgget(IPC_PRIVATE, 0600));
	full = zt_must(msgget(IPC_PRIVATE, 0600));
	zt_must(pipe(told));
	struct message one = {1, {'-'}};
	int held = 0;
	while (msgsnd(full, &one, TEXT, IPC_NOWAIT) == 0)
		held++;
	start(takers, takes_a_turn, SYS_semtimedop);
	start(receivers, receives, SYS_msgrcv);
	start(senders, sends, SYS_msgsnd);

	zt_ready();

	zt_same(zt_must(semctl(set, 0, GETNCNT)), WAITERS);
	struct sembuf give = {0, 1, 0};
	zt_must(semop(set, &give, 1));
	char name;
	for (int i = 0; i < WAITERS; i++) {
		zt_same(read(told[0], &name, 1), 1);
		zt_same(name, 'a' + i);
		zt_join(takers[i]);
	}
	for (int i = 0; i < WAITERS; i++) {
		one.text[0] = (char)('a' + i);
		zt_must(msgsnd(queue, &one, 1, 0));
		zt_join(receivers[i]);
	}
	for (int i = 0; i < held; i++)
		zt_same(msgrcv(full, &one, TEXT, 0, 0), TEXT);
	int seen = 0; /* these are in no order natively */
	for (int i = 0; i < WAITERS; i++) {
		zt_same(msgrcv(full, &one, TEXT, 0, 0), TEXT);
		seen |= 1 << (one.text[0] - 'a');
	}
	zt_same(seen, (1 << WAITERS) - 1);
	for (int i = 0; i < WAITERS; i++)
		zt_join(senders[i]);
	zt_must(semctl(set, 0, IPC_RMID));
	zt_must(msgctl(queue, IPC_RMID, NULL));
	zt_must(msgctl(full, IPC_RMID, NULL));
	return zt_pass();
}
