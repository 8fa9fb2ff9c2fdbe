/* Threads that run all the time lose no step, wherever they are caught. */
#include "zt_test.h"

#include <pthread.h>
#include <stdatomic.h>

#define COUNT 4

static atomic_int stop;
static atomic_long total;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static long guarded;

static void *count(void *arg)
{
	long mine = 0, sum = 0;
	(void)arg;
	while (!atomic_load(&stop)) {
		pthread_mutex_lock(&lock);
		guarded++;
		pthread_cond_signal(&turn);
		pthread_mutex_unlock(&lock);
		mine++;
		sum += mine;
		zt_same(sum, mine * (mine + 1) / 2);
		atomic_fetch_add(&total, 1);
		if (mine % 64 == 0)
			zt_sleep_ns(ZT_MS / 2);
	}
	return (void *)mine;
}

int main(void)
{
	pthread_t thread[COUNT];
	long sum = 0;
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_create(&thread[i], NULL, count, NULL), 0);
	pthread_mutex_lock(&lock);
	while (guarded < 1000)
		pthread_cond_wait(&turn, &lock);
	pthread_mutex_unlock(&lock);

	zt_ready();

	atomic_store(&stop, 1);
	for (int i = 0; i < COUNT; i++) {
		void *mine;
		zt_same(pthread_join(thread[i], &mine), 0);
		sum += (long)mine;
	}
	zt_same(sum, guarded);
	zt_same(sum, atomic_load(&total));
	return zt_pass();
}
