/* A program executed by a thread that is not the first: it gets the process's number, and goes on. */
#include "zt_test.h"

#include <pthread.h>

static void *executes(void *path)
{
	char number[16];
	snprintf(number, sizeof number, "%d", (int)getpid());
	execl(path, path, number, NULL);
	zt_fail("execl: %s", strerror(errno));
}

static void *waits(void *unused)
{
	(void)unused;
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	pthread_t thread;
	if (argc < 2) {
		zt_same(pthread_create(&thread, NULL, waits, NULL), 0);
		zt_same(pthread_create(&thread, NULL, executes, "/proc/self/exe"), 0);
		pthread_join(thread, NULL);
		zt_fail("the first thread goes on after an exec");
	}
	zt_same(getpid(), atoi(argv[1]));
	zt_same(gettid(), getpid());

	zt_ready();

	zt_same(getpid(), atoi(argv[1]));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_same(getppid(), atoi(argv[1]));
		_exit(0);
	}
	zt_join(child);
	return zt_pass();
}
