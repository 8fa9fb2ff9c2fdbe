/* What a process and its threads are: signals, timers, limits, names, places. */
#ifndef COMPOSED_ATTRIBUTES_H
#define COMPOSED_ATTRIBUTES_H

#include "composed.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

struct rest { /* a thread that waits */
	pthread_t thread;
	int how, number;
	_Atomic int tid;
	int ends[2];
};

static struct rest rests[THREADS];
static int rest_count;
static _Atomic int handled;

static void on_signal(int number)
{
	handled += number != SIGCHLD;
}

static const int SIGNALS[] = {SIGUSR1, SIGUSR2, 34, 37, SIGTERM, SIGHUP, SIGWINCH, SIGURG, SIGCHLD, 64};

/* signal NUMBER ACTION DETAIL */
static void do_signal(const int *a)
{
	static const int FLAGS[] = {0, SA_RESTART, SA_NODEFER | SA_ONSTACK, SA_RESETHAND, SA_NOCLDSTOP};
	int number = pick_from(SIGNALS, a[0]);
	struct sigaction action = {.sa_flags = pick_from(FLAGS, a[2])};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, number);
	switch ((unsigned)a[1] % 6) {
	case 0:
		action.sa_handler = SIG_IGN;
		sigaction(number, &action, NULL);
		return;
	case 1:
		action.sa_handler = on_signal;
		sigaddset(&action.sa_mask, SIGUSR2);
		sigaction(number, &action, NULL);
		return;
	case 2:
		sigprocmask(SIG_BLOCK, &set, NULL);
		return;
	case 3: /* waits, for this thread */
		sigprocmask(SIG_BLOCK, &set, NULL);
		raise(number);
		return;
	case 4: /* waits, for the process: where no other thread would take it */
		sigprocmask(SIG_BLOCK, &set, NULL);
		if (rest_count == 0)
			sigqueue(getpid(), number, (union sigval){.sival_int = a[2]});
		return;
	default:
		sigprocmask(SIG_BLOCK, &set, NULL);
		if (rest_count == 0)
			kill(getpid(), number);
	}
}

/* timer KIND VALUE: armed ones end long after this test. */
static void do_timer(const int *a)
{
	static const int CLOCKS[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME};
	struct itimerval until_then = {.it_value.tv_sec = 90000, .it_interval.tv_sec = a[1] % 3};
	struct sigevent event = {.sigev_notify = a[1] & 4 ? SIGEV_NONE : SIGEV_SIGNAL,
				 .sigev_signo = SIGUSR1, .sigev_value.sival_int = a[1]};
	struct itimerspec later = {.it_value.tv_sec = 80000, .it_interval.tv_nsec = a[1] % 1000};
	timer_t timer;
	if ((unsigned)a[0] % 3 == 0)
		setitimer(ITIMER_REAL, &until_then, NULL);
	else if (timer_create(pick_from(CLOCKS, a[1]), &event, &timer) == 0 && a[0] % 3 == 1)
		timer_settime(timer, 0, &later, NULL);
}

static void do_limit(const int *a)
{
	static const int LIMITS[] = {RLIMIT_NOFILE, RLIMIT_STACK, RLIMIT_CORE, RLIMIT_AS, RLIMIT_DATA,
				     RLIMIT_NPROC, RLIMIT_MEMLOCK, RLIMIT_SIGPENDING, RLIMIT_MSGQUEUE,
				     RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_FSIZE, RLIMIT_RSS, RLIMIT_LOCKS};
	static const rlim_t VALUES[] = {0, 3, 20, 1000, 65536, 1 << 20, 1 << 26, RLIM_INFINITY};
	int which = pick_from(LIMITS, a[0]);
	struct rlimit limit;
	if (getrlimit(which, &limit))
		return;
	limit.rlim_cur = pick_from(VALUES, a[1]);
	if (which == RLIMIT_FSIZE && limit.rlim_cur < 65536)
		return; /* what is said goes into a file */
	if (limit.rlim_cur > limit.rlim_max)
		limit.rlim_cur = limit.rlim_max;
	if (a[2] % 3 == 0)
		limit.rlim_max = limit.rlim_cur;
	setrlimit(which, &limit);
}

static void do_place(const int *a)
{
	char name[32];
	new_name(name, a[0] & 1 ? "place" : "a (deleted)");
	if (mkdir(name, 0755) == 0 && chdir(name) == 0 && a[0] & 2) {
		char up[40];
		snprintf(up, sizeof up, "../%s", name);
		rmdir(up);
	}
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0 && write(fd, text, strlen(text)) < 0)
		errno = 0; /* not allowed here */
	close(fd);
}

/* set WHAT VALUE: one thing that a process can be told. */
static void do_set(const int *a)
{
	static const char *const NAMES[] = {"", "a b", "(x) R 1", "line\nfeed", "\xff\xfe", "fifteen letters"};
	static char stacks[4][16384];
	stack_t stack = {.ss_sp = stacks[a[1] & 3], .ss_size = sizeof stacks[0]};
	struct sched_param priority = {0};
	unsigned long affinity = 1;
	char text[16];
	switch ((unsigned)a[0] % 22) {
	case 0:
		umask((mode_t)a[1] & 0777);
		return;
	case 1:
		setpriority(PRIO_PROCESS, 0, a[1] % 20);
		return;
	case 2:
		prctl(PR_SET_NAME, pick_from(NAMES, a[1]));
		return;
	case 3:
		sigaltstack(&stack, NULL);
		return;
	case 4:
		prctl(PR_SET_CHILD_SUBREAPER, a[1] & 1);
		return;
	case 5:
		prctl(PR_SET_PDEATHSIG, a[1] & 1 ? SIGURG : 0);
		return;
	case 6:
		prctl(PR_SET_TIMERSLACK, 1000 + a[1]);
		return;
	case 7:
		prctl(PR_SET_THP_DISABLE, a[1] & 1, 0, 0, 0);
		return;
	case 8:
		prctl(PR_SET_KEEPCAPS, a[1] & 1);
		return;
	case 9:
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		return;
	case 10:
		sched_setscheduler(0, SCHED_BATCH | (a[1] & 1 ? SCHED_RESET_ON_FORK : 0), &priority);
		return;
	case 11:
		sched_setscheduler(0, SCHED_IDLE, &priority);
		return;
	case 12:
		syscall(SYS_ioprio_set, 1, 0, (2 + a[1] % 2) << 13 | a[1] % 8);
		return;
	case 13:
		syscall(SYS_sched_setaffinity, 0, sizeof affinity, &affinity);
		return;
	case 14:
		snprintf(text, sizeof text, "%d", a[1] % 1000);
		write_file("/proc/self/oom_score_adj", text);
		return;
	case 15:
		snprintf(text, sizeof text, "%#x", a[1] % 512);
		write_file("/proc/self/coredump_filter", text);
		return;
	case 16:
		prctl(PR_MCE_KILL, 1, a[1] % 3, 0, 0);
		return;
	case 17:
		prctl(67 /* PR_SET_MEMORY_MERGE */, a[1] & 1, 0, 0, 0);
		return;
	case 18:
		prctl(65 /* PR_SET_MDWE */, a[1] & 1, 0, 0, 0);
		return;
	case 19:
		syscall(SYS_membarrier, 1 << pick_from(((int[]){2, 4, 6, 8}), a[1]), 0, 0);
		return;
	case 20:
		syscall(SYS_personality, 0x0040000 | (a[1] & 1 ? 0x0400000 : 0));
		return;
	default:
		prctl(PR_SET_DUMPABLE, a[1] & 1);
	}
}

static void rest_until_told(struct rest *me)
{
	sigset_t set;
	char told;
	switch (me->how) {
	case 0:
		wait_phase(CHECK);
		return;
	case 1:
		for (int seen; (seen = control->phase) < CHECK;)
			syscall(SYS_futex, &control->phase, FUTEX_WAIT, seen, NULL, NULL, 0);
		return;
	case 2:
		while (read(me->ends[0], &told, 1) < 0 && errno == EINTR)
			;
		return;
	default:
		sigemptyset(&set);
		sigaddset(&set, SIGRTMAX - 3);
		while (sigwaitinfo(&set, NULL) < 0 && errno == EINTR)
			;
	}
}

static void *rest_body(void *of)
{
	struct rest *me = of;
	char name[16], found[16];
	static char stacks[THREADS][16384];
	stack_t stack = {.ss_sp = stacks[me - rests], .ss_size = sizeof stacks[0]}, stack_now;
	sigset_t mask, mask_now;
	sigemptyset(&mask);
	sigaddset(&mask, pick_from(SIGNALS, me->number));
	sigaddset(&mask, SIGRTMAX - 3);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	snprintf(name, sizeof name, "rest %d", me->number);
	prctl(PR_SET_NAME, name);
	if (me->number & 1)
		sigaltstack(&stack, NULL);
	sigaltstack(NULL, &stack);
	pid_t tid = gettid();
	setpriority(PRIO_PROCESS, (id_t)tid, me->number % 20);
	int nice = getpriority(PRIO_PROCESS, (id_t)tid);
	me->tid = tid;
	rest_until_told(me);
	zt_same(gettid(), tid);
	zt_same(getpriority(PRIO_PROCESS, (id_t)tid), nice);
	prctl(PR_GET_NAME, found);
	zt_check(strcmp(found, name) == 0);
	pthread_sigmask(SIG_BLOCK, NULL, &mask_now);
	zt_check(memcmp(&mask, &mask_now, 8) == 0);
	sigaltstack(NULL, &stack_now);
	zt_check(stack.ss_sp == stack_now.ss_sp && stack.ss_flags == stack_now.ss_flags);
	return NULL;
}

/* thread HOW NUMBER */
static void do_thread(const int *a)
{
	struct rest *it = &rests[rest_count];
	if (rest_count == THREADS)
		return;
	*it = (struct rest){.how = (unsigned)a[0] % 4, .number = (unsigned)a[1] % 1000};
	if (it->how == 2 && pipe(it->ends))
		return;
	if (pthread_create(&it->thread, NULL, rest_body, it))
		return;
	rest_count++;
	until(it->tid);
}

static void end_threads(void)
{
	for (struct rest *it = rests; it < rests + rest_count; it++) {
		if (it->how == 1)
			syscall(SYS_futex, &control->phase, FUTEX_WAKE, 1 << 20, NULL, NULL, 0);
		if (it->how == 2)
			zt_same(write(it->ends[1], "!", 1), 1);
		if (it->how == 3)
			pthread_kill(it->thread, SIGRTMAX - 3);
		zt_same(pthread_join(it->thread, NULL), 0);
	}
}

struct self {
	pid_t pid, parent, group, session;
	sigset_t waiting, blocked;
	int handled, mask, nice;
	char cwd[4096];
};

static struct self settled;

static void note_self(struct self *it)
{
	memset(it, 0, sizeof *it);
	it->pid = getpid();
	it->parent = getppid();
	it->group = getpgrp();
	it->session = getsid(0);
	sigpending(&it->waiting);
	sigdelset(&it->waiting, SIGCHLD); /* relatives end */
	sigprocmask(SIG_BLOCK, NULL, &it->blocked);
	it->handled = handled;
	it->mask = (int)umask(0);
	umask((mode_t)it->mask);
	it->nice = getpriority(PRIO_PROCESS, 0);
	if (getcwd(it->cwd, sizeof it->cwd) == NULL)
		it->cwd[0] = 0;
}

static void check_self(void)
{
	struct self now;
	note_self(&now);
	zt_same(now.pid, settled.pid);
	zt_same(now.parent, settled.parent);
	zt_same(now.group, settled.group);
	zt_same(now.session, settled.session);
	zt_same(now.handled, settled.handled);
	zt_same(now.mask, settled.mask);
	zt_same(now.nice, settled.nice);
	zt_check(memcmp(&now.waiting, &settled.waiting, 8) == 0);
	zt_check(memcmp(&now.blocked, &settled.blocked, 8) == 0);
	zt_check(strcmp(now.cwd, settled.cwd) == 0);
}

#endif
