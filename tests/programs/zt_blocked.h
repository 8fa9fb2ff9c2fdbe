/* The frame of a program with a thread that is in a blocking call while the pod is frozen. */
#ifndef ZT_BLOCKED_H
#define ZT_BLOCKED_H

#include "zt_test.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_int zt_unblocked;

static void *zt_run_blocked(void *blocks)
{
	((void (*)(void))blocks)();
	atomic_store(&zt_unblocked, 1);
	return NULL;
}

/* `blocks` makes the call in a thread and checks its result; `frees`, in the first thread once it
 * may go on, makes the call end. */
static int zt_blocked(void (*blocks)(void), void (*frees)(void))
{
	pthread_t thread;
	zt_same(pthread_create(&thread, NULL, zt_run_blocked, (void *)blocks), 0);
	zt_sleep_ns(50 * ZT_MS);
	zt_same(atomic_load(&zt_unblocked), 0);
	zt_ready();
	zt_sleep_ns(20 * ZT_MS);
	zt_same(atomic_load(&zt_unblocked), 0);
	frees();
	zt_same(pthread_join(thread, NULL), 0);
	return zt_pass();
}

#endif
