/* many processes|threads|deep N: N of them meet in a ring of turns; each turn is counted once. Deep: each
 * is the child of the one before.
 *
 * Says ready when all are there, waits for the file in ZT_GO, then lets a token go round twice, and
 * checks that it passed each of them in order. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 2 };

static struct shared {
	sem_t there, done;
	int passed;
	sem_t turn[];
} *shared;
static int count;

static void *member(void *number)
{
	int mine = (int)(long)number;

	sem_post(&shared->there);
	for (int round = 0; round < ROUNDS; round++) {
		while (sem_wait(&shared->turn[mine]) != 0)
			;
		if (shared->passed++ != round * count + mine)
			abort();
		if (shared->passed == ROUNDS * count)
			sem_post(&shared->done);
		sem_post(&shared->turn[(mine + 1) % count]);
	}
	return NULL;
}

/* The number n, and below it all that follow; ends with the status of the next, or of its own. */
static void chain(int n)
{
	int status = 0;
	pid_t child = n + 1 < count ? fork() : 0;

	if (n + 1 < count && child == 0)
		chain(n + 1);
	member((void *)(long)n);
	if (child > 0 && (waitpid(child, &status, 0) != child || status != 0))
		_exit(1);
	_exit(child < 0);
}

static void wait_for_go(void)
{
	const char *go = getenv("ZT_GO");

	puts("ready");
	fflush(stdout);
	while (go && access(go, F_OK) != 0)
		usleep(5000);
}

static int fail(const char *what)
{
	printf("FAIL: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	return 1;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	int threads = strcmp(argv[1], "threads") == 0, deep = strcmp(argv[1], "deep") == 0;

	count = atoi(argv[2]);
	shared = mmap(NULL, sizeof *shared + count * sizeof(sem_t), PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return fail("mmap");
	sem_init(&shared->there, 1, 0);
	sem_init(&shared->done, 1, 0);
	for (int n = 0; n < count; n++)
		sem_init(&shared->turn[n], 1, 0);

	pthread_t *ids = calloc(count, sizeof *ids);
	if (deep && fork() == 0)
		chain(0);
	for (long n = 0; n < count && !deep; n++) {
		if (threads) {
			pthread_attr_t small;
			pthread_attr_init(&small);
			pthread_attr_setstacksize(&small, 64 << 10);
			if ((errno = pthread_create(&ids[n], &small, member, (void *)n)) != 0)
				return fail("pthread_create");
			continue;
		}
		pid_t child = fork();
		if (child < 0)
			return fail("fork");
		if (child == 0) {
			member((void *)n);
			_exit(n % 100);
		}
	}
	for (int n = 0; n < count; n++)
		sem_wait(&shared->there);

	wait_for_go();

	sem_post(&shared->turn[0]);
	sem_wait(&shared->done);
	int sum = 0, expected = 0;
	int status = 0;
	if (deep && (wait(&status) < 0 || status != 0))
		return fail("a descendant");
	for (int n = 0; n < count && !deep; n++) {
		status = 0;
		if (threads)
			pthread_join(ids[n], NULL);
		else if (wait(&status) < 0 || !WIFEXITED(status))
			return fail("wait");
		sum += WEXITSTATUS(status);
		expected += threads ? 0 : n % 100;
	}
	if (sum != expected || shared->passed != ROUNDS * count)
		return fail("a turn was lost");
	puts("PASS");
	return 0;
}
