/* The first thread has ended, others go on: they have the process's memory, files and ids, can make
 * processes and threads, be signalled, and end as the first one said. */
#include "zt_test.h"

#include <pthread.h>
#include <sys/syscall.h>
#include <sys/prctl.h>

static pid_t process;
static volatile int got;
static pid_t tid[2];

static void on_signal(int number)
{
	(void)number;
	got++;
}

static char state_of_first(void)
{
	char line[512], state = 0;
	FILE *file = fopen("/proc/self/stat", "r");
	zt_check(file && fgets(line, sizeof line, file));
	zt_check(sscanf(strrchr(line, ')') + 1, " %c", &state) == 1);
	fclose(file);
	return state;
}

static void *other(void *unused)
{
	tid[1] = (pid_t)syscall(SYS_gettid);
	zt_wait_go();
	zt_same(syscall(SYS_gettid), tid[1]);
	return unused;
}

static void *go_on(void *unused)
{
	(void)unused;
	pthread_t thread;
	int pipe_[2];
	tid[0] = (pid_t)syscall(SYS_gettid);
	zt_must(prctl(PR_SET_NAME, "second"));
	zt_must(pipe(pipe_));
	zt_same(write(pipe_[1], "here", 4), 4);
	zt_same(pthread_create(&thread, NULL, other, NULL), 0);
	while (state_of_first() != 'Z' || !__atomic_load_n(&tid[1], __ATOMIC_ACQUIRE))
		zt_sleep_ns(ZT_MS);

	zt_ready();

	char name[16];
	zt_must(prctl(PR_GET_NAME, name));
	zt_same(strcmp(name, "second"), 0);
	zt_same(getpid(), process);
	zt_same(syscall(SYS_gettid), tid[0]);
	zt_same(state_of_first(), 'Z');
	zt_reads(pipe_[0], "here");
	zt_must(kill(process, SIGUSR1));
	while (!got)
		zt_sleep_ns(ZT_MS);
	zt_same(pthread_join(thread, NULL), 0);
	pid_t child = zt_must(fork());
	if (child == 0)
		_exit(getppid() == process ? 0 : 1);
	zt_join(child);
	zt_pass();
	return NULL;
}

int main(void)
{
	pthread_t thread;
	process = getpid();
	signal(SIGUSR1, on_signal);
	zt_same(pthread_create(&thread, NULL, go_on, NULL), 0);
	syscall(SYS_exit, 0); /* the thread alone, and not by pthread_exit: that says 0 in its own way */
	return 1;
}
