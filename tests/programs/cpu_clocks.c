/* CPU-time clocks of processes and threads, and timers that signal a thread: all named by ids. */
#include "zt_test.h"

#include <pthread.h>

static int stop[2];

static void *works(void *unused)
{
	char byte;
	zt_same(read(stop[0], &byte, 1), 1);
	return unused;
}

static int64_t read_clock(clockid_t clock)
{
	struct timespec t;
	zt_must(clock_getres(clock, &t));
	zt_must(clock_gettime(clock, &t));
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(void)
{
	pthread_t thread;
	clockid_t of_thread, of_child, of_self;
	timer_t timer;
	zt_must(pipe(stop));
	zt_same(pthread_create(&thread, NULL, works, NULL), 0);
	zt_same(pthread_getcpuclockid(thread, &of_thread), 0);
	pid_t child = zt_must(fork());
	if (child == 0)
		for (;;)
			pause();
	zt_same(clock_getcpuclockid(child, &of_child), 0);
	zt_same(clock_getcpuclockid(getpid(), &of_self), 0);

	zt_ready();

	zt_check(read_clock(of_thread) >= 0);
	zt_check(read_clock(of_child) >= 0);
	zt_check(read_clock(of_self) > 0);
	clockid_t of_nobody = (clockid_t)(~3999999u << 3 | 2);
	struct timespec t;
	zt_check(clock_gettime(of_nobody, &t) == -1 && errno == EINVAL);

	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR2};
	event._sigev_un._tid = gettid();
	zt_must(timer_create(CLOCK_MONOTONIC, &event, &timer));
	struct itimerspec soon = {.it_value = {0, 1000000}};
	zt_must(timer_settime(timer, 0, &soon, NULL));
	zt_same(sigwaitinfo(&set, NULL), SIGUSR2);

	zt_same(write(stop[1], "x", 1), 1);
	zt_same(pthread_join(thread, NULL), 0);
	zt_must(kill(child, SIGKILL));
	zt_same(waitpid(child, NULL, 0), child);
	return zt_pass();
}
