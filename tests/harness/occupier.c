/* occupier TID...: makes each of these numbers somebody else's, until its stdin ends.
 *
 * The kernel hands out ids upwards and round, so threads that end at once are made until the next id
 * is just below the wanted one, and then processes that stay. Says what it got in one line. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CLOSE = 24, MAX_HELD = 4096, PATIENCE_S = 8 };

static char stack[16384] __attribute__((aligned(64)));
static volatile int gone;

static int end_at_once(void *unused)
{
	(void)unused;
	return 0;
}

/* The id that the kernel gave to a thread that is over when this returns. */
static int burn_one(void)
{
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			  CLONE_SYSVSEM | CLONE_CHILD_CLEARTID;

	gone = 1;
	int tid = clone(end_at_once, stack + sizeof stack, flags, NULL, NULL, NULL, &gone);
	while (tid > 0 && __atomic_load_n(&gone, __ATOMIC_ACQUIRE))
		sched_yield();
	return tid;
}

static int by_number(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static int taken(int tid)
{
	return kill(tid, 0) == 0 || syscall(SYS_tkill, tid, 0) == 0;
}

int main(int argc, char **argv)
{
	int wanted = argc - 1, held = 0, n = 0, others = 0, last = 0;
	int *tids = calloc(wanted + 1, sizeof *tids);
	pid_t *children = calloc(MAX_HELD, sizeof *children);
	struct timespec begin, now;
	char byte;

	for (int i = 0; i < wanted; i++)
		tids[i] = atoi(argv[i + 1]);
	qsort(tids, wanted, sizeof *tids, by_number);
	clock_gettime(CLOCK_MONOTONIC, &begin);

	for (int i = 0; i < wanted && n < MAX_HELD; i++) {
		if (taken(tids[i]))
			continue;
		for (;;) {
			clock_gettime(CLOCK_MONOTONIC, &now);
			if (now.tv_sec - begin.tv_sec > PATIENCE_S)
				goto done;
			if (last < tids[i] && tids[i] - last <= CLOSE && last > 0) {
				pid_t child = fork();
				if (child == 0) {
					prctl(PR_SET_PDEATHSIG, SIGKILL);
					pause();
					_exit(0);
				}
				if (child < 0)
					goto done;
				if (n == MAX_HELD)
					goto done;
				children[n++] = last = child;
			} else {
				last = burn_one();
				if (last < 0)
					goto done;
			}
			if (taken(tids[i]))
				break;
		}
	}
done:
	for (int i = 0; i < wanted; i++)
		if (taken(tids[i])) {
			held++;
			int mine = 0;
			for (int k = 0; k < n; k++)
				mine |= children[k] == tids[i];
			others += !mine;
		}
	printf("%d of %d old ids are occupied (%d of them by strangers)\n", held, wanted, others);
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	for (int k = 0; k < n; k++)
		kill(children[k], SIGKILL);
	while (wait(NULL) > 0)
		;
	return 0;
}
