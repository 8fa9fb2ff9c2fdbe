/* RLIMIT_NPROC: no process and no thread more, of one that has some; root may have any number. */
#include "zt_limit.h"

#include <pthread.h>

static void *sleeping(void *unused)
{
	zt_wait_go();
	return unused;
}

int main(void)
{
	pthread_t threads[3];
	for (int i = 0; i < 3; i++)
		zt_same(pthread_create(&threads[i], NULL, sleeping, NULL), 0);
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_wait_go();
		_exit(0);
	}
	zt_limit(RLIMIT_NPROC, 2);
	bool unlimited = getuid() == 0;

	zt_ready();

	zt_limited(RLIMIT_NPROC, 2);
	pthread_t more;
	if (!unlimited) {
		zt_check(fork() == -1 && errno == EAGAIN);
		zt_same(pthread_create(&more, NULL, sleeping, NULL), EAGAIN);
	}
	for (int i = 0; i < 3; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	zt_join(child);
	return zt_pass();
}
