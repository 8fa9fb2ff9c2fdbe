/* The timer slack of threads, which they have from their maker. */
#include "zt_test.h"

#include <pthread.h>
#include <sys/prctl.h>

static void *other(void *context)
{
	(void)context;
	zt_wait_go();
	return (void *)(long)prctl(PR_GET_TIMERSLACK);
}

int main(void)
{
	pthread_t thread;
	void *slack;
	zt_must(prctl(PR_SET_TIMERSLACK, 123456));
	zt_same(pthread_create(&thread, NULL, other, NULL), 0);
	zt_ready();
	zt_same(pthread_join(thread, &slack), 0);
	zt_same((long)slack, 123456);
	zt_same(prctl(PR_GET_TIMERSLACK), 123456);
	return zt_pass();
}
