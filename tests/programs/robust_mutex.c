/* A robust mutex whose owner dies after the move is told of to the next one. */
#include "zt_test.h"

#include <pthread.h>
#include <semaphore.h>

static pthread_mutex_t robust;
static sem_t up, go;

static void *work(void *arg)
{
	zt_same(pthread_mutex_lock(&robust), 0);
	sem_post(&up);
	while (sem_wait(&go) == -1)
		;
	return arg; /* with the mutex held */
}

int main(void)
{
	pthread_t thread;
	pthread_mutexattr_t attribute;
	pthread_mutexattr_init(&attribute);
	pthread_mutexattr_setrobust(&attribute, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &attribute);
	sem_init(&up, 0, 0);
	sem_init(&go, 0, 0);
	zt_same(pthread_create(&thread, NULL, work, NULL), 0);
	zt_must(sem_wait(&up));

	zt_ready();

	zt_same(pthread_mutex_trylock(&robust), EBUSY);
	sem_post(&go);
	zt_same(pthread_join(thread, NULL), 0);
	zt_same(pthread_mutex_lock(&robust), EOWNERDEAD);
	zt_same(pthread_mutex_consistent(&robust), 0);
	return zt_pass();
}
