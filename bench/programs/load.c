/* load bytes N [PERCENT] | processes N | threads N: something to freeze, to suspend, to resume and to move.
 *
 * bytes: N MiB of random bytes in one process; so many percent of its pages are written to in a second,
 * what is there already. Says ready, then every other millisecond a line
 * "COUNT LAP": COUNT goes up by one each time, LAP when all of it has been looked at once more: every
 * byte is what it was, every process or thread has answered. What is not as it was ends it with "wrong".
 */
#define _GNU_SOURCE
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS 2000000
#define WORDS_A_TICK (128 << 10)
#define TICKS_A_ROUND 100 /* so rarely is everybody woken */
#define WORDS_A_PAGE 512
#define START 88172645463325252u

static struct shared {
	_Atomic uint32_t round;
	_Atomic uint32_t answered[];
} *shared;

static uint64_t next(uint64_t x)
{
	x ^= x << 13, x ^= x >> 7;
	return x ^ x << 17;
}

static void answer(size_t me)
{
	for (uint32_t seen = 0;; seen = shared->round) {
		shared->answered[me] = seen;
		while (shared->round == seen)
			syscall(SYS_futex, &shared->round, FUTEX_WAIT, seen, NULL, NULL, 0);
	}
}

static void *answer_as_thread(void *me)
{
	answer((size_t)me);
	return NULL;
}

static int make_others(const char *kind, size_t n)
{
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	for (size_t i = 1; i < n; i++) {
		pthread_t id;
		if (strcmp(kind, "threads") == 0) {
			if (pthread_create(&id, &small, answer_as_thread, (void *)i) != 0)
				return -1;
			continue;
		}
		pid_t child = fork();
		if (child < 0)
			return -1;
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			answer(i);
		}
	}
	return 0;
}

/* Everybody has answered to the round, and the next has begun. */
static int round_is_over(size_t n)
{
	for (size_t i = 1; i < n; i++)
		if (shared->answered[i] != shared->round)
			return 0;
	shared->round++;
	syscall(SYS_futex, &shared->round, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	return 1;
}

static void write_to(volatile uint64_t *memory, size_t words, double percent)
{
	static double owed;
	static uint64_t at = START;
	for (owed += percent / 100 * (words / WORDS_A_PAGE) * TICK_NS / 1e9; owed >= 1; owed--) {
		at = next(at);
		volatile uint64_t *word = &memory[at % (words / WORDS_A_PAGE) * WORDS_A_PAGE];
		*word = *word;
	}
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 4)
		return 2;
	double percent = argc == 4 ? atof(argv[3]) : 0;
	size_t n = strtoul(argv[2], NULL, 10), words = 0, at = 0;
	uint64_t *memory = NULL, x = START;
	if (strcmp(argv[1], "bytes") == 0) {
		words = n << 17;
		memory = malloc(words * sizeof *memory + 1);
		for (size_t i = 0; memory && i < words; i++)
			memory[i] = x = next(x);
		if (memory == NULL)
			return 1;
		n = 1, x = START;
	}
	shared = mmap(NULL, sizeof *shared + n * sizeof(uint32_t), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || make_others(argv[1], n))
		return 1;
	dprintf(1, "ready\n");
	unsigned long lap = 0;
	for (unsigned long count = 1;; count++) {
		nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL);
		write_to(memory, words, percent);
		for (size_t end = at + WORDS_A_TICK; at < end && at < words; at++)
			if (memory[at] != (x = next(x))) {
				dprintf(1, "wrong\n");
				return 1;
			}
		if (n > 1 && count % TICKS_A_ROUND == 0)
			lap += round_is_over(n);
		if (n == 1 && at >= words)
			at = 0, x = START, lap++;
		if (dprintf(1, "%lu %lu\n", count, lap) < 0)
			return 1;
	}
}
