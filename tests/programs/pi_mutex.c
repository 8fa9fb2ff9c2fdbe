/* Mutexes with priority inheritance: the kernel hands them over by number of thread. Held and waited for
 * across the move by several; tried, with limits of time by both clocks, robust, in deadlock, and
 * between processes. */
#include "zt_test.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

enum { WAITERS = 4, TURNS = 200 };

static struct shared {
	pthread_mutex_t mutex, robust;
	atomic_int step, counter;
} *shared;
static pthread_mutex_t mutex, robust;
static uint32_t first, second;
static atomic_int waiting, served, count, refused;

static long lock_pi(uint32_t *word, struct timespec *until)
{
	return syscall(SYS_futex, word, FUTEX_LOCK_PI_PRIVATE, 0, until, NULL, 0);
}

static long unlock_pi(uint32_t *word)
{
	return syscall(SYS_futex, word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL, 0);
}

static void make(pthread_mutex_t *which, int robustness, int sharing)
{
	pthread_mutexattr_t a;
	zt_same(pthread_mutexattr_init(&a), 0);
	zt_same(pthread_mutexattr_setprotocol(&a, PTHREAD_PRIO_INHERIT), 0);
	zt_same(pthread_mutexattr_setrobust(&a, robustness), 0);
	zt_same(pthread_mutexattr_setpshared(&a, sharing), 0);
	zt_same(pthread_mutex_init(which, &a), 0);
}

static bool sleeps(pid_t process, pid_t thread)
{
	char path[64], line[256] = "";
	snprintf(path, sizeof path, "/proc/%d/task/%d/stat", (int)process, (int)thread);
	FILE *file = fopen(path, "r");
	bool asleep = file && fgets(line, sizeof line, file) && strstr(line, ") S ");
	if (file)
		fclose(file);
	return asleep;
}

static void await(atomic_int *what, int value)
{
	while (atomic_load(what) < value)
		zt_sleep_ns(1 * ZT_MS);
}

static void *locks(void *unused)
{
	atomic_fetch_add(&waiting, 1);
	zt_same(pthread_mutex_lock(&mutex), 0);
	atomic_fetch_add(&served, 1);
	zt_same(pthread_mutex_unlock(&mutex), 0);
	return unused;
}

static void *keeps_robust(void *of)
{
	zt_same(pthread_mutex_lock(of), 0);
	atomic_fetch_add(&waiting, 1);
	await(&served, 100);
	return NULL; /* with the mutex held */
}

static void *finds_it_dead(void *of)
{
	atomic_fetch_add(&waiting, 1);
	zt_same(pthread_mutex_lock(of), EOWNERDEAD);
	zt_same(pthread_mutex_consistent(of), 0);
	zt_same(pthread_mutex_unlock(of), 0);
	return NULL;
}

static void *counts(void *of)
{
	for (int i = 0; i < TURNS; i++) {
		zt_same(pthread_mutex_lock(of), 0);
		int seen = atomic_load(&count);
		if (i % 16 == 0)
			sched_yield();
		atomic_store(&count, seen + 1);
		zt_same(pthread_mutex_unlock(of), 0);
	}
	return NULL;
}

static void *embraces(void *unused)
{
	zt_must(lock_pi(&second, NULL));
	atomic_fetch_add(&waiting, 1);
	if (lock_pi(&first, NULL) == 0) { /* which the other thread has, and lets go after its EDEADLK */
		zt_must(unlock_pi(&first));
	} else {
		zt_same(errno, EDEADLK);
		atomic_fetch_add(&refused, 1);
	}
	zt_must(unlock_pi(&second));
	return unused;
}

static struct timespec from_now(clockid_t clock, int64_t ns)
{
	int64_t at = zt_now_ns(clock) + ns;
	return (struct timespec){at / 1000000000, at % 1000000000};
}

/* The other process: it waits for what the first holds, lets others count, and dies with one held. */
static void child(void)
{
	atomic_store(&shared->step, 1);
	zt_same(pthread_mutex_lock(&shared->mutex), 0);
	atomic_store(&shared->step, 2);
	await(&shared->step, 3);
	for (int i = 0; i < TURNS; i++) {
		atomic_fetch_add(&shared->counter, 1);
		zt_same(pthread_mutex_unlock(&shared->mutex), 0);
		zt_same(pthread_mutex_lock(&shared->mutex), 0);
	}
	zt_same(pthread_mutex_unlock(&shared->mutex), 0);
	zt_same(pthread_mutex_lock(&shared->robust), 0);
	atomic_store(&shared->step, 4);
	for (;;)
		pause();
}

static void words(void)
{
	_Alignas(4) char odd[8] = {0};
	uint32_t word = 0;
	zt_must(lock_pi(&word, NULL));
	zt_same(word, gettid());
	zt_check(lock_pi(&word, NULL) == -1 && errno == EDEADLK);
	zt_check(syscall(SYS_futex, &word, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL) == -1 && errno == EDEADLK);
	zt_must(unlock_pi(&word));
	zt_same(word, 0);
	zt_check(unlock_pi(&word) == -1 && errno == EPERM);
	zt_must(syscall(SYS_futex, &word, FUTEX_TRYLOCK_PI_PRIVATE, 0, NULL));
	zt_same(word & FUTEX_TID_MASK, gettid());
	word = FUTEX_OWNER_DIED | FUTEX_WAITERS;
	zt_must(lock_pi(&word, NULL));
	zt_same(word & ~FUTEX_WAITERS, (uint32_t)gettid() | FUTEX_OWNER_DIED);
	word = 4000000; /* nobody's number */
	zt_check(lock_pi(&word, NULL) == -1 && errno == ESRCH);
	zt_check(lock_pi((uint32_t *)(void *)(odd + 1), NULL) == -1 && errno == EINVAL);
	zt_check(lock_pi((uint32_t *)8, NULL) == -1 && errno == EFAULT);
	struct timespec bad = {0, -1};
	word = 0;
	zt_check(lock_pi(&word, &bad) == -1 && errno == EINVAL);
}

int main(void)
{
	pthread_t threads[WAITERS], owner, heir;
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(shared != MAP_FAILED);
	make(&mutex, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_PRIVATE);
	make(&robust, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_PRIVATE);
	make(&shared->mutex, PTHREAD_MUTEX_STALLED, PTHREAD_PROCESS_SHARED);
	make(&shared->robust, PTHREAD_MUTEX_ROBUST, PTHREAD_PROCESS_SHARED);
	zt_same(pthread_mutex_lock(&shared->mutex), 0);
	pid_t pid = zt_must(fork());
	if (pid == 0)
		child();
	zt_same(pthread_mutex_lock(&mutex), 0);
	for (int i = 0; i < WAITERS; i++)
		zt_same(pthread_create(&threads[i], NULL, locks, NULL), 0);
	zt_same(pthread_create(&owner, NULL, keeps_robust, &robust), 0);
	await(&waiting, WAITERS + 1);
	zt_same(pthread_create(&heir, NULL, finds_it_dead, &robust), 0);
	await(&waiting, WAITERS + 2);
	await(&shared->step, 1);
	while (!sleeps(pid, pid))
		zt_sleep_ns(1 * ZT_MS);

	zt_ready();

	/* Nobody had it meanwhile, and all get it. */
	zt_same(atomic_load(&served), 0);
	zt_same(atomic_load(&shared->step), 1);
	zt_same(pthread_mutex_unlock(&mutex), 0);
	for (int i = 0; i < WAITERS; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	zt_same(atomic_load(&served), WAITERS);
	zt_same(pthread_mutex_lock(&mutex), 0);
	zt_same(pthread_mutex_unlock(&mutex), 0);

	/* The owner of a robust one ends. */
	zt_same(pthread_mutex_trylock(&robust), EBUSY);
	atomic_store(&served, 100);
	zt_same(pthread_join(owner, NULL), 0);
	zt_same(pthread_join(heir, NULL), 0);
	zt_same(pthread_mutex_lock(&robust), 0);
	zt_same(pthread_mutex_unlock(&robust), 0);
	zt_same(pthread_create(&owner, NULL, keeps_robust, &robust), 0);
	zt_same(pthread_join(owner, NULL), 0);
	zt_same(pthread_mutex_trylock(&robust), EOWNERDEAD); /* nobody waited when it ended */
	zt_same(pthread_mutex_consistent(&robust), 0);
	zt_same(pthread_mutex_unlock(&robust), 0);

	/* For a while. */
	atomic_store(&served, 0);
	atomic_store(&waiting, 0);
	zt_same(pthread_create(&owner, NULL, keeps_robust, &robust), 0);
	await(&waiting, 1);
	struct timespec until = from_now(CLOCK_REALTIME, 30 * ZT_MS);
	zt_same(pthread_mutex_timedlock(&robust, &until), ETIMEDOUT);
	zt_check(zt_now_ns(CLOCK_REALTIME) >= until.tv_sec * 1000000000LL + until.tv_nsec);
	until = from_now(CLOCK_MONOTONIC, 30 * ZT_MS);
	zt_same(pthread_mutex_clocklock(&robust, CLOCK_MONOTONIC, &until), ETIMEDOUT);
	zt_check(zt_now_ns(CLOCK_MONOTONIC) >= until.tv_sec * 1000000000LL + until.tv_nsec);
	zt_check(zt_now_ns(CLOCK_MONOTONIC) < until.tv_sec * 1000000000LL + until.tv_nsec + 20000000000LL);
	zt_same(pthread_mutex_trylock(&robust), EBUSY);
	atomic_store(&served, 100);
	zt_same(pthread_join(owner, NULL), 0);
	zt_same(pthread_mutex_lock(&robust), EOWNERDEAD);

	/* Each would wait for the other: one of them is refused, or both that come at once. */
	zt_must(lock_pi(&first, NULL));
	atomic_store(&waiting, 0);
	zt_same(pthread_create(&owner, NULL, embraces, NULL), 0);
	await(&waiting, 1);
	long got;
	do {
		until = from_now(CLOCK_REALTIME, 5 * ZT_MS);
		got = lock_pi(&second, &until);
	} while (got == -1 && errno == ETIMEDOUT);
	if (got == 0) {
		zt_must(unlock_pi(&second));
	} else {
		zt_same(errno, EDEADLK);
		atomic_fetch_add(&refused, 1);
	}
	zt_must(unlock_pi(&first));
	zt_same(pthread_join(owner, NULL), 0);
	zt_check(atomic_load(&refused) >= 1);

	/* Many at once. */
	for (int i = 0; i < WAITERS; i++)
		zt_same(pthread_create(&threads[i], NULL, counts, &mutex), 0);
	for (int i = 0; i < WAITERS; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	zt_same(atomic_load(&count), WAITERS * TURNS);

	/* Between processes. */
	zt_same(pthread_mutex_unlock(&shared->mutex), 0);
	await(&shared->step, 2);
	zt_same(pthread_mutex_trylock(&shared->mutex), EBUSY);
	atomic_store(&shared->step, 3);
	for (int i = 0; i < TURNS; i++) {
		zt_same(pthread_mutex_lock(&shared->mutex), 0);
		atomic_fetch_add(&shared->counter, 1);
		zt_same(pthread_mutex_unlock(&shared->mutex), 0);
	}
	await(&shared->step, 4);
	zt_same(pthread_mutex_trylock(&shared->robust), EBUSY);
	zt_same(pthread_create(&heir, NULL, finds_it_dead, &shared->robust), 0);
	while (!atomic_load(&waiting))
		zt_sleep_ns(1 * ZT_MS);
	zt_must(kill(pid, SIGKILL));
	zt_same(pthread_join(heir, NULL), 0);
	zt_same(waitpid(pid, NULL, 0), pid);
	zt_same(atomic_load(&shared->counter), 2 * TURNS);
	words();
	return zt_pass();
}
