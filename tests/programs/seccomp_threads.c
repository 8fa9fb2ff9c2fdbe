/* Threads with filters of their own, and one for all of them (SECCOMP_FILTER_FLAG_TSYNC). */
#include "zt_seccomp.h"

#include <pthread.h>

static pthread_barrier_t together;
static volatile bool go_on;

static void *apart(void *filtered)
{
	if (filtered)
		zt_must(zt_on(SYS_getuid, SECCOMP_RET_ERRNO | 5));
	pthread_barrier_wait(&together);
	pthread_barrier_wait(&together);
	zt_same(syscall(SYS_getgid), -1);
	if (filtered)
		zt_refused(syscall(SYS_getuid), 5);
	else
		zt_check(syscall(SYS_getuid) >= 0);
	zt_same(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
	pthread_barrier_wait(&together);
	pthread_barrier_wait(&together);
	if (!filtered)
		zt_refused(syscall(SYS_getppid), 9);
	return NULL;
}

int main(void)
{
	pthread_t plain, own;
	zt_must(pthread_barrier_init(&together, NULL, 3));
	zt_same(pthread_create(&plain, NULL, apart, NULL), 0);
	zt_no_new_privs();
	zt_must(zt_filter(SECCOMP_FILTER_FLAG_TSYNC, LOAD(nr), UNLESS(SYS_getgid, 1),
			  RET(SECCOMP_RET_ERRNO | EPERM), RET(SECCOMP_RET_ALLOW)));
	zt_same(pthread_create(&own, NULL, apart, "own"), 0);
	pthread_barrier_wait(&together);

	zt_ready();

	pthread_barrier_wait(&together);
	zt_refused(syscall(SYS_getgid), EPERM);
	zt_check(syscall(SYS_getuid) >= 0);
	pthread_barrier_wait(&together);
	long differs = zt_filter(SECCOMP_FILTER_FLAG_TSYNC, LOAD(nr), UNLESS(SYS_getppid, 1),
				 RET(SECCOMP_RET_ERRNO | 9), RET(SECCOMP_RET_ALLOW));
	zt_check(differs > getpid()); /* the thread that cannot have it */
	zt_refused(zt_filter(SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH, RET(SECCOMP_RET_ALLOW)),
		   ESRCH);
	zt_check(getppid() >= 0);
	return zt_pass();
}
