/* What a process is: signals, timers, limits, names, places. */
#ifndef COMPOSED_ATTRIBUTES_H
#define COMPOSED_ATTRIBUTES_H

#include "composed.h"
#include "threads.h"

#include <asm/ldt.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>

static _Atomic int handled;
static char *argv_at; /* the first argument, which a program may overwrite */
static size_t argv_length;

static void on_signal(int number)
{
	handled += number != SIGCHLD;
}

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
	static const int CLOCKS[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME,
				     CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
	static const int WHICH[] = {ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF};
	struct itimerval until_then = {.it_value.tv_sec = 90000, .it_interval.tv_sec = a[1] % 3};
	struct sigevent event = {.sigev_notify = a[1] & 4 ? SIGEV_NONE : SIGEV_SIGNAL,
				 .sigev_signo = SIGUSR1, .sigev_value.sival_int = a[1]};
	struct itimerspec later = {.it_value.tv_sec = 80000, .it_interval.tv_nsec = a[1] % 1000};
	const struct itimerspec at_once = {.it_value.tv_nsec = 1};
	sigset_t mask;
	timer_t timer;
	switch ((unsigned)a[0] % 4) {
	case 0:
		setitimer(pick_from(WHICH, a[1]), &until_then, NULL);
		return;
	case 1:
		if (timer_create(pick_from(CLOCKS, a[1]), &event, &timer) == 0)
			timer_settime(timer, 0, &later, NULL);
		return;
	case 2:
		timer_create(pick_from(CLOCKS, a[1]), &event, &timer);
		return;
	default: /* its signal waits, for no other thread would take it */
		sigprocmask(SIG_BLOCK, NULL, &mask);
		if (rest_count || !sigismember(&mask, SIGUSR1) || a[1] & 4)
			return;
		if (timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
		    timer_settime(timer, 0, &at_once, NULL) == 0)
			until(sigpending(&mask) == 0 && sigismember(&mask, SIGUSR1));
	}
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
	struct { /* sched_attr */
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attributes = {
		.size = 48, .nice = a[1] % 20, .runtime = 1000000ULL * (1 + (unsigned)a[1] % 50)};
	unsigned long affinity = 1;
	char text[16];
	switch ((unsigned)a[0] % 27) {
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
	case 21:
		syscall(SYS_set_mempolicy, a[1] % 4, (unsigned long[]){1}, 64);
		return;
	case 22:
		syscall(SYS_sched_setattr, 0, &attributes, 0);
		return;
	case 23:
		if (argv_length > 8)
			memcpy(argv_at, a[1] & 1 ? "renamed" : "other ", 7);
		return;
	case 24:
		syscall(SYS_modify_ldt, 1,
			&(struct user_desc){.entry_number = (unsigned)a[1] % 16,
					    .base_addr = (unsigned)a[1] << 12,
					    .limit = 5,
					    .seg_32bit = 1,
					    .useable = 1},
			sizeof(struct user_desc));
		return;
	case 25:
		prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
		return;
	default:
		prctl(PR_SET_DUMPABLE, a[1] & 1);
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
