/* Mutexes with priority inheritance that many contend for all the time, by every way to lock one, within
 * a process and between two: at each moment one has it, and every turn is counted. */
#include "zt_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

enum { THREADS = 3 };

struct contended {
	pthread_mutex_t mutex;
	atomic_int inside;
	long counter; /* of the owner alone */
};

static struct shared {
	struct contended between, robust;
	atomic_long turns[2]; /* in between, in robust */
	atomic_bool over;
} *shared;
static struct contended within;
static atomic_long turns_within;

static void make(struct contended *it, int robustness, int sharing)
{
	pthread_mutexattr_t a;
	zt_same(pthread_mutexattr_init(&a), 0);
	zt_same(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT), 0);
	zt_same(pthread_mutexattr_setrobust(&a, robustness), 0);
	zt_same(pthread_mutexattr_setpshared(&a, sharing), 0);
	zt_same(pthread_mutex_init(&it->mutex, &a), 0);
}

/* One of the ways; false: not this time. */
static bool lock(pthread_mutex_t *mutex, int way)
{
	struct timespec until;
	int error = 0;
	switch (way % 4) {
	case 0:
	case 1:
		error = pthread_mutex_lock(mutex);
		break;
	case 2:
		error = pthread_mutex_trylock(mutex);
		break;
	case 3:
		zt_must(clock_gettime(CLOCK_REALTIME, &until));
		until.tv_nsec += ZT_MS;
		if (until.tv_nsec >= 1000000000)
			until.tv_sec++, until.tv_nsec -= 1000000000;
		error = pthread_mutex_timedlock(mutex, &until);
		break;
	}
	if (error && error != EBUSY && error != ETIMEDOUT)
		zt_fail("way %d: %s", way % 4, strerror(error));
	return !error;
}

static void turn(struct contended *it, int way, atomic_long *turns)
{
	if (!lock(&it->mutex, way))
		return;
	zt_same(atomic_exchange(&it->inside, 1), 0);
	long seen = it->counter;
	if (way % 5 == 0)
		sched_yield();
	it->counter = seen + 1;
	atomic_fetch_add(turns, 1);
	zt_same(atomic_exchange(&it->inside, 0), 1);
	zt_same(pthread_mutex_unlock(&it->mutex), 0);
}

static void *contend(void *number)
{
	int i = (int)(intptr_t)number;
	do { /* once for certain: a busy host may let a process begin when all is over */
		turn(&within, i, &turns_within);
		turn(&shared->between, i / 2, &shared->turns[0]);
		turn(&shared->robust, i / 3, &shared->turns[1]);
		if (i % 16 == 0)
			zt_sleep_ns(ZT_MS);
		i++;
	} while (!atomic_load(&shared->over));
	return NULL;
}

/* In one process, until all is over. */
static void all_contend(bool until_told)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		zt_same(pthread_create(&threads[i], NULL, contend, (void *)(intptr_t)i), 0);
	if (until_told) {
		zt_ready();
		atomic_store(&shared->over, true);
	}
	for (int i = 0; i < THREADS; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	zt_check(within.counter > 0);
	zt_same(within.counter, atomic_load(&turns_within));
}

int main(void)
{
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(shared != MAP_FAILED);
	make(&within, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE);
	make(&shared->between, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_SHARED);
	make(&shared->robust, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_SHARED);
	pid_t child = zt_must(fork());
	all_contend(child != 0);
	if (child == 0)
		_exit(0);
	zt_join(child);
	zt_same(shared->between.counter, atomic_load(&shared->turns[0]));
	zt_same(shared->robust.counter, atomic_load(&shared->turns[1]));
	return zt_pass();
}
