/* A signal for the process wakes a thread, and another one takes it first: the kernel goes on with the
 * thread's call as restart_syscall, and nobody was stopped for that. */
#include "zt_test.h"

#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#define WAIT (2000 * ZT_MS)
#define TRIES 20000

static int word;
static const struct timespec wait_time = {WAIT / 1000000000, WAIT % 1000000000};

static int64_t by_poll(void) { return poll(NULL, 0, WAIT / ZT_MS) ? -errno : 0; }

static int64_t by_nanosleep(void) { return syscall(SYS_nanosleep, &wait_time, NULL) ? -errno : 0; }

static int64_t by_clock_nanosleep(void)
{
	return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &wait_time, NULL) ? -errno : 0;
}

static int64_t by_futex(void)
{
	return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &wait_time, NULL, 0) ? -errno : 0;
}

static int64_t by_futex_until(void)
{
	int64_t end = zt_now_ns(CLOCK_MONOTONIC) + WAIT;
	struct timespec t = {end / 1000000000, end % 1000000000};
	return syscall(SYS_futex, &word, FUTEX_WAIT_BITSET_PRIVATE, 0, &t, NULL, -1) ? -errno : 0;
}

static const struct {
	int64_t (*call)(void);
	int64_t answer;
} ways[] = {
	{by_poll, 0},		{by_nanosleep, 0},	       {by_clock_nanosleep, 0},
	{by_futex, -ETIMEDOUT}, {by_futex_until, -ETIMEDOUT},
};
enum { COUNT = sizeof ways / sizeof *ways };
static _Atomic pid_t tid[COUNT];

static void on_signal(int signal) { (void)signal; }

static sigset_t only(int way)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + way);
	return set;
}

/* On the processor of the one that signals, which it does not take from it. */
static void *work(void *arg)
{
	const int way = (int)(intptr_t)arg;
	const sigset_t mine = only(way);
	const struct sched_param none = {0};
	int64_t start, answer;
	zt_same(pthread_setschedparam(pthread_self(), SCHED_IDLE, &none), 0);
	zt_same(pthread_sigmask(SIG_UNBLOCK, &mine, NULL), 0);
	tid[way] = gettid();
	do {
		start = zt_now_ns(CLOCK_MONOTONIC);
		answer = ways[way].call();
	} while (answer == -EINTR);
	int64_t took = zt_now_ns(CLOCK_MONOTONIC) - start;
	if (answer != ways[way].answer || took < WAIT - ZT_MS)
		zt_fail("way %d answered %lld after %lld ms", way, (long long)answer,
			(long long)(took / ZT_MS));
	return NULL;
}

static bool is_restarted(pid_t thread)
{
	char path[64], text[16] = "";
	snprintf(path, sizeof path, "/proc/self/task/%d/syscall", thread);
	int fd = zt_must(open(path, O_RDONLY));
	zt_must(read(fd, text, sizeof text - 1));
	close(fd);
	return atoi(text) == SYS_restart_syscall;
}

static void interrupt_unseen(int way)
{
	const sigset_t its = only(way);
	const struct timespec now = {0};
	for (int i = 0; i < TRIES; i++) {
		zt_sleep_ns(ZT_MS); /* it sleeps again */
		if (is_restarted(tid[way]))
			return;
		zt_must(kill(getpid(), SIGRTMIN + way));
		sigtimedwait(&its, NULL, &now);
	}
	zt_fail("way %d took every signal", way);
}

int main(void)
{
	pthread_t thread[COUNT];
	cpu_set_t cpu;
	CPU_ZERO(&cpu);
	CPU_SET(sched_getcpu(), &cpu);
	zt_must(sched_setaffinity(0, sizeof cpu, &cpu));
	for (int i = 0; i < COUNT; i++) {
		const sigset_t its = only(i);
		zt_must(sigprocmask(SIG_BLOCK, &its, NULL));
		zt_check(signal(SIGRTMIN + i, on_signal) != SIG_ERR);
	}
	for (int i = 0; i < COUNT; i++) {
		zt_same(pthread_create(&thread[i], NULL, work, (void *)(intptr_t)i), 0);
		while (!tid[i])
			zt_sleep_ns(ZT_MS);
		interrupt_unseen(i);
	}

	zt_ready();

	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_join(thread[i], NULL), 0);
	return zt_pass();
}
