/* Children that end while another thread asks for them by their numbers: who waits is told each of them. */
#include "zt_test.h"

#include <pthread.h>
#include <stdatomic.h>

enum { CHILDREN = 150 };

static atomic_int child, enough;

static void *asks(void *arg)
{
	while (!atomic_load(&enough)) {
		pid_t number = atomic_load(&child);
		zt_check(!number || kill(number, 0) == 0 || errno == ESRCH);
	}
	return arg;
}

static pid_t by_wait4(void)
{
	int status;
	pid_t found = zt_must(waitpid(-1, &status, 0));
	zt_check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	return found;
}

static pid_t by_wait4_at_once(void)
{
	pid_t found;
	while (!(found = zt_must(waitpid(-1, NULL, WNOHANG))))
		zt_check(kill(atomic_load(&child), 0) == 0);
	return found;
}

static pid_t by_waitid(void)
{
	siginfo_t info;
	zt_must(waitid(P_ALL, 0, &info, WEXITED));
	zt_same(info.si_status, 7);
	return info.si_pid;
}

int main(void)
{
	static pid_t (*const ways[])(void) = {by_wait4, by_wait4_at_once, by_waitid};
	pthread_t thread;
	zt_ready();
	zt_same(pthread_create(&thread, NULL, asks, NULL), 0);
	for (int i = 0; i < CHILDREN; i++) {
		pid_t made = zt_must(fork());
		if (!made)
			_exit(7);
		atomic_store(&child, made);
		zt_same(ways[i % 3](), made);
	}
	atomic_store(&enough, 1);
	zt_same(pthread_join(thread, NULL), 0);
	return zt_pass();
}
