/* FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI, as condition variables use them: who waits across the
 * move is moved to a mutex that is held, or is given one that is free. */
#include "zt_test.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

enum { WAITERS = 3 };
static _Atomic uint32_t condition;
static uint32_t lock;
static atomic_int waiting, owned;

static long lock_pi(void)
{
	return syscall(SYS_futex, &lock, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0);
}

static long unlock_pi(void)
{
	return syscall(SYS_futex, &lock, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
}

static long wait_requeue(uint32_t value, struct timespec *until)
{
	return syscall(SYS_futex, &condition, FUTEX_WAIT_REQUEUE_PI_PRIVATE, value, until, &lock, 0);
}

static long requeue(long wakes, long moves, uint32_t value)
{
	return syscall(SYS_futex, &condition, FUTEX_CMP_REQUEUE_PI_PRIVATE, wakes, moves, &lock, value);
}

static void *waits(void *unused)
{
	uint32_t value = atomic_load(&condition);
	atomic_fetch_add(&waiting, 1);
	while (wait_requeue(value, NULL) == -1) {
		/* Interrupted after it was moved, or the condition has changed before: it locks by itself. */
		zt_same(errno, EAGAIN);
		if (atomic_load(&condition) != value) {
			zt_must(lock_pi());
			break;
		}
	}
	zt_same(lock & FUTEX_TID_MASK, gettid());
	atomic_fetch_add(&owned, 1);
	zt_must(unlock_pi());
	return unused;
}

static void begin(pthread_t *threads)
{
	atomic_store(&waiting, 0);
	atomic_store(&owned, 0);
	for (int i = 0; i < WAITERS; i++)
		zt_same(pthread_create(&threads[i], NULL, waits, NULL), 0);
	while (atomic_load(&waiting) < WAITERS)
		zt_sleep_ns(1 * ZT_MS);
}

/* All that wait are moved: some may not have come to it yet. */
static void move_all(void)
{
	int moved = 0;
	while (moved < WAITERS) {
		long some = requeue(1, INT_MAX, atomic_load(&condition));
		if (some == -1)
			zt_fail("FUTEX_CMP_REQUEUE_PI: %s", strerror(errno));
		moved += (int)some;
		zt_sleep_ns(1 * ZT_MS);
	}
	zt_same(moved, WAITERS);
}

static void end(pthread_t *threads)
{
	for (int i = 0; i < WAITERS; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	zt_same(atomic_load(&owned), WAITERS);
	zt_must(lock_pi());
	zt_must(unlock_pi());
}

int main(void)
{
	pthread_t threads[WAITERS];
	zt_must(lock_pi());
	begin(threads);

	zt_ready();

	zt_same(atomic_load(&owned), 0);
	zt_check(requeue(1, INT_MAX, atomic_load(&condition) + 1) == -1 && errno == EAGAIN);
	zt_check(requeue(2, INT_MAX, atomic_load(&condition)) == -1 && errno == EINVAL);
	move_all();
	zt_same(atomic_load(&owned), 0);
	zt_must(unlock_pi());
	end(threads);

	begin(threads); /* of one that is free, the first becomes the owner */
	move_all();
	end(threads);

	zt_check(wait_requeue(atomic_load(&condition) + 1, NULL) == -1 && errno == EAGAIN);
	struct timespec soon;
	zt_must(clock_gettime(CLOCK_MONOTONIC, &soon));
	soon.tv_sec++;
	zt_check(wait_requeue(atomic_load(&condition), &soon) == -1 && errno == ETIMEDOUT);
	zt_check(zt_now_ns(CLOCK_MONOTONIC) >= soon.tv_sec * 1000000000LL + soon.tv_nsec);
	zt_check(zt_now_ns(CLOCK_MONOTONIC) < soon.tv_sec * 1000000000LL + soon.tv_nsec + 20000000000LL);
	zt_same(requeue(1, INT_MAX, atomic_load(&condition)), 0);
	return zt_pass();
}
