/* Threads keep their ids, names, thread-local memory, masks, and the locks that they hold. */
#include "zt_test.h"

#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define COUNT 8

static __thread int local;
static pthread_mutex_t held[COUNT];
static pthread_barrier_t up, go;

static void *work(void *arg)
{
	int i = (int)(intptr_t)arg;
	char name[16], now[16];
	sigset_t set, mask;
	pid_t tid = (pid_t)syscall(SYS_gettid);
	local = i * 100;
	snprintf(name, sizeof name, "thread %d", i);
	zt_must(prctl(PR_SET_NAME, name));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + i);
	zt_same(pthread_sigmask(SIG_SETMASK, &set, NULL), 0);
	zt_same(pthread_mutex_lock(&held[i]), 0);
	pthread_barrier_wait(&up);
	pthread_barrier_wait(&go);
	zt_same(local, i * 100);
	zt_same(syscall(SYS_gettid), tid);
	zt_must(prctl(PR_GET_NAME, now));
	zt_check(strcmp(name, now) == 0);
	zt_same(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
	zt_same(sigismember(&mask, SIGRTMIN + i), 1);
	zt_same(sigismember(&mask, SIGRTMIN + i + 1), 0);
	zt_same(pthread_mutex_unlock(&held[i]), 0);
	return (void *)(intptr_t)(i + 1000);
}

int main(void)
{
	pthread_t thread[COUNT];
	pthread_mutexattr_t attribute;
	pthread_mutexattr_init(&attribute);
	pthread_mutexattr_settype(&attribute, PTHREAD_MUTEX_ERRORCHECK);
	pthread_barrier_init(&up, NULL, COUNT + 1);
	pthread_barrier_init(&go, NULL, COUNT + 1);
	for (int i = 0; i < COUNT; i++) {
		pthread_mutex_init(&held[i], &attribute);
		zt_same(pthread_create(&thread[i], NULL, work, (void *)(intptr_t)i), 0);
	}
	pthread_barrier_wait(&up);

	zt_ready();

	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_mutex_trylock(&held[i]), EBUSY);
	pthread_barrier_wait(&go);
	for (int i = 0; i < COUNT; i++) {
		void *result;
		zt_same(pthread_join(thread[i], &result), 0);
		zt_same((intptr_t)result, i + 1000);
		zt_same(pthread_mutex_lock(&held[i]), 0);
	}
	return zt_pass();
}
