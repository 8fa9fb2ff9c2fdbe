/* Threads that wait for a signal and for nothing else, over and over: no signal is taken without
 * ending the wait, and no wait ends without a signal. */
#include "zt_halfway.h"

#include <poll.h>
#include <sys/epoll.h>

enum { COUNT = 3 };

static _Thread_local int taken;
static atomic_int waits[COUNT], enough[COUNT];
static pthread_t thread[COUNT];
static int ep;

static void on_signal(int signal)
{
	(void)signal;
	taken++;
}

static int by_epoll(const sigset_t *open)
{
	struct epoll_event event;
	return epoll_pwait(ep, &event, 1, -1, open);
}

static int by_poll(const sigset_t *open) { return ppoll(NULL, 0, NULL, open); }
static int by_suspend(const sigset_t *open) { return sigsuspend(open); }

static int (*const ways[COUNT])(const sigset_t *) = {by_epoll, by_poll, by_suspend};

static void *work(void *number)
{
	int i = (int)(intptr_t)number;
	sigset_t open;
	sigemptyset(&open);
	for (int n = 1; !atomic_load(&enough[i]); n++) {
		atomic_store(&waits[i], n);
		zt_check(ways[i](&open) == -1 && errno == EINTR);
		if (taken != n)
			zt_fail("way %d: %d signals after %d waits", i, taken, n);
	}
	return NULL;
}

int main(void)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t set;
	int sent[COUNT] = {0};
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	zt_must(sigaction(SIGUSR1, &action, NULL));
	zt_same(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
	ep = zt_must(epoll_create1(0));
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_create(&thread[i], NULL, work, (void *)(intptr_t)i), 0);
	zt_say_ready();
	for (bool last = false; !last;) {
		last = zt_may_go();
		for (int i = 0; i < COUNT; i++) {
			while (atomic_load(&waits[i]) == sent[i])
				zt_sleep_ns(100000);
			sent[i] = atomic_load(&waits[i]);
			if (last)
				atomic_store(&enough[i], 1);
			zt_same(pthread_kill(thread[i], SIGUSR1), 0);
		}
	}
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_join(thread[i], NULL), 0);
	return zt_pass();
}
