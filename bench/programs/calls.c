/* calls ROUNDS: what some system calls cost, one "name nanoseconds" per line and round. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int zero, pipe_ends[2];

static void do_getppid(void) { syscall(SYS_getppid); }
static void do_gettid(void) { syscall(SYS_gettid); }
static void do_kill_self_0(void) { kill(getpid(), 0); }
static void do_clock_gettime(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); }
static void do_clock_gettime_call(void)
{
	struct timespec t;
	syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
}
static void do_read(void)
{
	char byte;
	if (read(zero, &byte, 1) != 1)
		exit(1);
}
static void do_pipe_round_trip(void)
{
	char byte = 0;
	if (write(pipe_ends[1], &byte, 1) != 1 || read(pipe_ends[0], &byte, 1) != 1)
		exit(1);
}
static void do_open_close(void) { close(open("/dev/null", O_RDONLY)); }
static void do_stat(void) { struct stat s; stat("/etc/passwd", &s); }
static void do_mmap_munmap(void)
{
	munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
}
static void do_fork_wait(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
}
static void do_vfork_exec_wait(void)
{
	pid_t child = vfork();
	if (child == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	waitpid(child, NULL, 0);
}
static void *nothing(void *unused) { return unused; }
static void do_thread_join(void)
{
	pthread_t id;
	if (pthread_create(&id, NULL, nothing, NULL) == 0)
		pthread_join(id, NULL);
}

#define CALL(name, times) { #name, do_##name, times }
static const struct { const char *name; void (*call)(void); int times; } calls[] = {
	CALL(read, 20000), CALL(pipe_round_trip, 10000), CALL(mmap_munmap, 10000),
	CALL(open_close, 1000), CALL(stat, 1000), CALL(clock_gettime, 20000),
	CALL(clock_gettime_call, 1000), CALL(getppid, 1000), CALL(gettid, 1000),
	CALL(kill_self_0, 1000), CALL(thread_join, 100), CALL(fork_wait, 50),
	CALL(vfork_exec_wait, 30),
};

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1;
	struct timespec a, b;

	zero = open("/dev/zero", O_RDONLY);
	if (pipe(pipe_ends) != 0)
		return 1;
	for (int round = 0; round < rounds; round++)
		for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
			clock_gettime(CLOCK_MONOTONIC, &a);
			for (int n = 0; n < calls[i].times; n++)
				calls[i].call();
			clock_gettime(CLOCK_MONOTONIC, &b);
			double ns = (b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec);
			printf("%s %.1f\n", calls[i].name, ns / calls[i].times);
		}
	return 0;
}
