/* System V semaphores: values, who changed them, waiters, and what is undone at the end of a process. */
#include "zt_test.h"

#include <sys/ipc.h>
#include <sys/sem.h>

#define KEY 0x7a617032
enum { COUNT = 5 };

static void operate(int set, unsigned short number, short by, short flags)
{
	struct sembuf one = {number, by, flags};
	zt_must(semop(set, &one, 1));
}

static int value(int set, int number)
{
	return zt_must(semctl(set, number, GETVAL));
}

int main(void)
{
	int set = zt_must(semget(KEY, COUNT, IPC_CREAT | IPC_EXCL | 0600));
	int other = zt_must(semget(IPC_PRIVATE, 1, 0600));
	unsigned short values[COUNT] = {3, 0, 7, 32767, 1}, found[COUNT];
	zt_must(semctl(set, 0, SETALL, values));
	zt_must(semctl(other, 0, SETVAL, 9));
	int ready[2];
	zt_must(pipe(ready));
	pid_t holder = zt_must(fork());
	if (!holder) { /* it ends afterwards, and what it did is undone */
		operate(set, 0, -2, SEM_UNDO);
		operate(set, 2, 4, SEM_UNDO);
		operate(set, 3, -7, SEM_UNDO);
		operate(other, 0, -9, 0);
		operate(other, 0, 1, SEM_UNDO);
		operate(other, 0, -1, SEM_UNDO); /* nothing is left of these */
		zt_must(write(ready[1], "r", 1));
		operate(set, 1, -1, 0);
		_exit(0);
	}
	pid_t waiter = zt_must(fork());
	if (!waiter) {
		struct sembuf both[] = {{4, -2, SEM_UNDO}, {0, 0, 0}};
		struct timespec minute = {60, 0};
		zt_must(semtimedop(set, both, 2, &minute));
		_exit(7);
	}
	char byte;
	zt_same(zt_must(read(ready[0], &byte, 1)), 1);
	while (!zt_must(semctl(set, 4, GETNCNT)) || !zt_must(semctl(set, 1, GETNCNT)))
		usleep(1000);
	struct semid_ds was, now;
	zt_must(semctl(set, 0, IPC_STAT, &was));
	zt_same(was.sem_perm.__key, KEY);
	zt_same(was.sem_nsems, COUNT);

	zt_ready();

	zt_must(semctl(set, 0, IPC_STAT, &now));
	zt_same(now.sem_perm.__key, KEY);
	zt_same(now.sem_otime, was.sem_otime);
	zt_same(now.sem_ctime, was.sem_ctime);
	zt_must(semctl(set, 0, GETALL, found));
	zt_same(found[0], 1);
	zt_same(found[1], 0);
	zt_same(found[2], 11);
	zt_same(found[3], 32760);
	zt_same(found[4], 1);
	zt_same(value(other, 0), 0);
	zt_same(zt_must(semctl(set, 0, GETPID)), holder);
	zt_same(zt_must(semctl(set, 4, GETPID)), getpid());
	zt_same(semget(KEY, 0, 0), set);
	while (!zt_must(semctl(set, 1, GETNCNT)))
		usleep(1000);
	operate(set, 1, 1, 0);
	int status;
	zt_same(zt_must(waitpid(holder, &status, 0)), holder);
	zt_same(status, 0);
	zt_same(value(set, 0), 3);
	zt_same(value(set, 2), 7);
	zt_same(value(set, 3), 32767);
	zt_same(value(other, 0), 0);
	zt_same(zt_must(semctl(set, 2, GETPID)), holder);
	operate(set, 4, 1, 0);
	operate(set, 0, -3, 0);
	zt_same(zt_must(waitpid(waiter, &status, 0)), waiter);
	zt_same(WEXITSTATUS(status), 7);
	zt_same(value(set, 4), 2);
	struct sembuf busy = {0, -1, IPC_NOWAIT};
	zt_check(semop(set, &busy, 1) == -1 && errno == EAGAIN);
	zt_must(semctl(set, 0, IPC_RMID));
	zt_must(semctl(other, 0, IPC_RMID));
	zt_check(semctl(set, 0, GETVAL) == -1 && (errno == EINVAL || errno == EIDRM));
	return zt_pass();
}
