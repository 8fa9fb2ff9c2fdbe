/* A filter that all threads had together is still the same for all: the next one can be for all, too. */
#include "zt_seccomp.h"

#include <pthread.h>

static pthread_barrier_t together;

static void *work(void *unused)
{
	pthread_barrier_wait(&together);
	zt_refused(syscall(SYS_getppid), 9);
	zt_refused(syscall(SYS_getuid), 5);
	return unused;
}

int main(void)
{
	pthread_t thread;
	zt_no_new_privs();
	zt_must(zt_on(SYS_getuid, SECCOMP_RET_ERRNO | 5));
	zt_must(pthread_barrier_init(&together, NULL, 2));
	zt_same(pthread_create(&thread, NULL, work, NULL), 0);

	zt_ready();

	zt_same(zt_filter(SECCOMP_FILTER_FLAG_TSYNC, LOAD(nr), UNLESS(SYS_getppid, 1),
			  RET(SECCOMP_RET_ERRNO | 9), RET(SECCOMP_RET_ALLOW)), 0);
	pthread_barrier_wait(&together);
	zt_same(pthread_join(thread, NULL), 0);
	zt_refused(syscall(SYS_getppid), 9);
	return zt_pass();
}
