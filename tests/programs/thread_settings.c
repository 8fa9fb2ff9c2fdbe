/* What threads have set for themselves, each its own: name, slack, priority, policy, I/O class ... */
#include "zt_test.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum { THREADS = 8, IOPRIO_WHO_PROCESS = 1, CLASS_SHIFT = 13, BEST_EFFORT = 2, IDLE = 3 };
static const unsigned long ASK = 0xffffffff;

static pthread_barrier_t all_set;
static const char *const names[THREADS] = {"plain", "nl\n", "\xff\xfe", ") S 1 2", "\x0b\x85x", "a\rb", "\n", ""};

static long io_priority(int i)
{
	return i % 2 ? BEST_EFFORT << CLASS_SHIFT | i % 8 : i ? IDLE << CLASS_SHIFT : 0;
}

static void *run(void *argument)
{
	int i = (int)(intptr_t)argument;
	char name[16] = "";
	struct sched_param none = {0};
	int policy = i % 3 == 1 ? SCHED_BATCH : i % 3 == 2 ? SCHED_IDLE : SCHED_OTHER;
	int reset = i & 1 ? SCHED_RESET_ON_FORK : 0;
	zt_must(prctl(PR_SET_NAME, names[i]));
	zt_must(prctl(PR_SET_TIMERSLACK, 50000UL + (unsigned long)i * 1000));
	zt_must(setpriority(PRIO_PROCESS, 0, 2 + i));
	zt_must(sched_setscheduler(0, policy | reset, &none));
	zt_must(prctl(PR_MCE_KILL, PR_MCE_KILL_SET, i % 3, 0, 0));
	zt_must(prctl(PR_SET_KEEPCAPS, i & 1, 0, 0, 0));
	if (i)
		zt_must(syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, io_priority(i)));
	zt_must(personality(i & 1 ? UNAME26 : 0));
	pthread_barrier_wait(&all_set);
	zt_wait_go();

	zt_must(prctl(PR_GET_NAME, name));
	zt_check(strcmp(name, names[i]) == 0);
	zt_same(prctl(PR_GET_TIMERSLACK), 50000 + i * 1000);
	zt_same(getpriority(PRIO_PROCESS, 0), 2 + i);
	zt_same(sched_getscheduler(0), policy | reset);
	zt_same(prctl(PR_MCE_KILL_GET, 0, 0, 0, 0), i % 3);
	zt_same(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0), i & 1);
	zt_same(syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, 0), io_priority(i));
	zt_same(personality(ASK), i & 1 ? UNAME26 : 0);
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];
	pthread_barrier_init(&all_set, NULL, THREADS + 1);
	zt_must(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0));
	zt_must(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	zt_must(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	bool merges = prctl(67 /* PR_SET_MEMORY_MERGE, 6.4 */, 1, 0, 0, 0) == 0;
	bool denies = prctl(65 /* PR_SET_MDWE, 6.3 */, 1, 0, 0, 0) == 0;
	for (intptr_t i = 0; i < THREADS; i++)
		zt_same(pthread_create(&threads[i], NULL, run, (void *)i), 0);
	pthread_barrier_wait(&all_set);
	personality(READ_IMPLIES_EXEC | ADDR_NO_RANDOMIZE); /* a container may say no; exec takes the first away */
	int own = personality(ASK);

	zt_ready();

	for (int i = 0; i < THREADS; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	zt_same(personality(ASK), own);
	zt_same(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
	zt_same(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
	zt_same(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), 0);
	zt_check(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0) == -1 && errno == EPERM);
	if (merges)
		zt_same(prctl(68, 0, 0, 0, 0), 1);
	if (denies)
		zt_same(prctl(66, 0, 0, 0, 0), 1);
	return zt_pass();
}
