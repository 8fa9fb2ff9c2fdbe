/* Two threads and a heap, correct until the go; then the fault that the sanitizer looks for. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SIZE = 1 << 16, ROUNDS = 50 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long counted;

static void *count_locked(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++) {
		pthread_mutex_lock(&lock);
		counted++;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

static void *count_racing(void *unused)
{
	(void)unused;
	for (int i = 0; i < ROUNDS; i++)
		counted++;
	return NULL;
}

static void both(void *(*work)(void *))
{
	pthread_t one, other;
	if (pthread_create(&one, NULL, work, NULL) || pthread_create(&other, NULL, work, NULL))
		abort();
	pthread_join(one, NULL);
	pthread_join(other, NULL);
}

static void *reader(void *fd)
{
	char byte;
	if (read(*(int *)fd, &byte, 1) != 1)
		abort();
	return NULL;
}

int main(int argc, char **argv)
{
	int ends[2];
	pthread_t waiting;
	char *heap = malloc(SIZE);
	const char *go = getenv("ZT_GO");
	if (argc != 2 || !go || pipe(ends) || pthread_create(&waiting, NULL, reader, &ends[0]))
		return 2;
	memset(heap, 1, SIZE / 2);
	both(count_locked);
	printf("ready\n");
	fflush(stdout);

	while (access(go, F_OK) != 0)
		usleep(1000);

	both(count_locked);
	char *more = malloc(SIZE);
	memcpy(more, heap, SIZE / 2);
	if (write(ends[1], "", 1) != 1 || pthread_join(waiting, NULL))
		return 2;
	printf("counted %ld, byte %d\n", counted, more[SIZE / 2 - 1]);
	fflush(stdout);
	if (strcmp(argv[1], "thread") == 0)
		both(count_racing);
	else if (strcmp(argv[1], "memory") == 0 && heap[SIZE - argc] == 'x')
		printf("x\n");
	else if (strcmp(argv[1], "address") == 0)
		((volatile char *)more)[SIZE + argc] = 1;
	free(more);
	free(heap);
	return 0;
}
