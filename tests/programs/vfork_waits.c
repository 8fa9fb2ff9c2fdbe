/* Children between vfork and exec that take their time: by vfork itself, clone, and posix_spawn (by
 * clone3) whose file action opens a FIFO. Their makers wait, and see nothing of it; registers stay as they were. */
#include "zt_test.h"

#include <pthread.h>
#include <sched.h>
#include <spawn.h>

enum { COUNT = 3 };

static const char *const HELLO = "x";
static int pipes[COUNT][2];
static pid_t child[COUNT];
static int shared = 0; /* the children run in our memory */
static int waiting;    /* how many makers wait */

static void wait_for_go(int which)
{
	char byte;
	__atomic_add_fetch(&shared, 1, __ATOMIC_SEQ_CST);
	while (read(pipes[which][0], &byte, 1) != 1)
		;
	__atomic_add_fetch(&shared, 100, __ATOMIC_SEQ_CST);
}

static void *by_vfork(void *unused)
{
	pid_t pid = vfork();
	if (pid == 0) {
		wait_for_go(0);
		_exit(3);
	}
	child[0] = pid;
	return unused;
}

static char stack[65536] __attribute__((aligned(16)));

static int cloned(void *argument)
{
	wait_for_go(*(int *)argument);
	execl("/bin/sh", "sh", "-c", "exit 3", (char *)NULL);
	_exit(9);
}

static void *by_clone(void *unused)
{
	static int which = 1;
	child[1] = zt_must(clone(cloned, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, &which));
	return unused;
}

static void *by_spawn(void *unused)
{
	char fifo[64];
	char *const argv[] = {"sh", "-c", "read x; [ \"$x\" = x ] && exit 3", NULL};
	posix_spawn_file_actions_t actions;
	snprintf(fifo, sizeof fifo, "zt_fifo.%d", (int)getpid());
	zt_must(mkfifo(fifo, 0600));
	zt_same(posix_spawn_file_actions_init(&actions), 0);
	zt_same(posix_spawn_file_actions_addopen(&actions, 0, fifo, O_RDONLY, 0), 0);
	__atomic_add_fetch(&shared, 1, __ATOMIC_SEQ_CST);
	zt_same(posix_spawn(&child[2], "/bin/sh", &actions, NULL, argv, environ), 0);
	__atomic_add_fetch(&shared, 100, __ATOMIC_SEQ_CST);
	return unused;
}

static void *start(void *argument)
{
	void *(*const *way)(void *) = argument;
	(*way)(NULL);
	__atomic_sub_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

int main(void)
{
	static void *(*const WAYS[COUNT])(void *) = {by_vfork, by_clone, by_spawn};
	pthread_t thread[COUNT];
	char fifo[64];
	waiting = COUNT;
	for (int i = 0; i < COUNT; i++) {
		zt_must(pipe(pipes[i]));
		zt_same(pthread_create(&thread[i], NULL, start, (void *)&WAYS[i]), 0);
	}
	while (__atomic_load_n(&shared, __ATOMIC_SEQ_CST) < COUNT)
		zt_sleep_ns(ZT_MS);
	zt_sleep_ns(20 * ZT_MS); /* the spawned one opens its FIFO by now; that nobody waits for it */

	zt_ready();

	zt_same(__atomic_load_n(&waiting, __ATOMIC_SEQ_CST), COUNT);
	for (int i = 0; i < COUNT - 1; i++)
		zt_same(write(pipes[i][1], HELLO, 1), 1);
	snprintf(fifo, sizeof fifo, "zt_fifo.%d", (int)getpid());
	int fd = zt_must(open(fifo, O_WRONLY));
	zt_same(write(fd, "x\n", 2), 2);
	zt_must(close(fd));
	for (int i = 0; i < COUNT; i++) {
		int status;
		zt_same(pthread_join(thread[i], NULL), 0);
		zt_check(child[i] > 0);
		zt_same(waitpid(child[i], &status, 0), child[i]);
		zt_check(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	}
	zt_same(shared, COUNT * 101);
	zt_must(unlink(fifo));
	return zt_pass();
}
