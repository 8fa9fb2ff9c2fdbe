/* Threads that make children and threads over and over, by vfork, fork, clone and posix_spawn; each
 * child executes a program, ends or is killed. Their makers wait until then, and for their end; the
 * calls are anywhere when a freeze comes. */
#include "zt_test.h"

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <stdatomic.h>

static atomic_int enough;
static char *const TRUE[] = {"true", NULL};

static pid_t by_vfork(int *in_us)
{
	pid_t pid = vfork();
	if (pid == 0) {
		++*in_us;
		_exit(0);
	}
	return pid;
}

static pid_t by_vfork_and_exec(int *in_us)
{
	pid_t pid = vfork();
	if (pid == 0) {
		++*in_us;
		execve("/bin/true", TRUE, NULL);
		_exit(9);
	}
	return pid;
}

static pid_t by_vfork_and_child(int *in_us)
{
	pid_t pid = vfork();
	if (pid == 0) {
		int inner = 0;
		zt_join(by_vfork(&inner));
		*in_us += inner;
		execve("/bin/true", TRUE, NULL);
		_exit(9);
	}
	return pid;
}

static int cloned(void *in_us)
{
	++*(int *)in_us;
	return 0;
}

static pid_t by_clone(int *in_us)
{
	static _Thread_local char stack[16384] __attribute__((aligned(16)));
	return clone(cloned, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, in_us);
}

static pid_t by_spawn(int *in_us)
{
	pid_t pid;
	zt_same(posix_spawn(&pid, "/bin/true", NULL, NULL, TRUE, environ), 0);
	++*in_us;
	return pid;
}

static void *executes(void *unused)
{
	execve("/bin/true", TRUE, NULL);
	return unused;
}

static pid_t by_fork_and_thread(int *in_us)
{
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t thread;
		zt_same(pthread_create(&thread, NULL, executes, NULL), 0);
		for (;;)
			pause();
	}
	++*in_us;
	return pid;
}

static void *ends(void *in_us)
{
	++*(int *)in_us;
	return NULL;
}

static pid_t by_thread_and_fork(int *in_us)
{
	pthread_t thread;
	zt_same(pthread_create(&thread, NULL, ends, in_us), 0);
	zt_same(pthread_join(thread, NULL), 0);
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return pid;
}

/* Wherever it is by then: before its first instruction, or in the middle of an exec. */
static pid_t by_fork_and_kill(int *in_us)
{
	int status;
	pid_t pid = zt_must(fork());
	if (pid == 0)
		executes(NULL);
	zt_must(kill(pid, SIGKILL));
	zt_same(waitpid(pid, &status, 0), pid);
	zt_check(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
	return by_vfork(in_us);
}

static pid_t (*const WAYS[])(int *) = {
	by_vfork, by_vfork_and_exec, by_vfork_and_child, by_clone,
	by_spawn, by_fork_and_thread, by_thread_and_fork, by_fork_and_kill,
};
enum { COUNT = sizeof WAYS / sizeof *WAYS };

static void *make(void *way)
{
	do {
		int in_us = 0;
		zt_join(zt_must((*(pid_t(**)(int *))way)(&in_us)));
		zt_same(in_us, 1);
	} while (!atomic_load(&enough));
	return NULL;
}

int main(void)
{
	pthread_t thread[COUNT];
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_create(&thread[i], NULL, make, (void *)&WAYS[i]), 0);
	zt_ready();
	atomic_store(&enough, 1);
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_join(thread[i], NULL), 0);
	zt_same(waitpid(-1, NULL, 0), -1);
	zt_same(errno, ECHILD);
	return zt_pass();
}
