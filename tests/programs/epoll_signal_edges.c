/* Signals that wait for several threads, each for its own, and epoll instances that watch signalfds by
 * their edge, also one within another: each tells what it had still to tell, to whom it is for, and what
 * it has told it does not tell again. */
#include "zt_own_signals.h"

enum { EDGE = EPOLLIN | EPOLLET };

static int told, untold, outer_told, outer_untold, level, once, passed_over, exclusive;

/* This and nothing else; 0: nothing. */
static void tells(int ep, uint64_t data)
{
	struct epoll_event got[4];
	int n = zt_must(epoll_wait(ep, got, 4, 0));
	uint64_t found = n ? got[0].data.u64 : 0;
	if (n > 1 || found != data)
		zt_fail("epoll %d tells %d, of %d, not of %d", ep, n, (int)found, (int)data);
}

static void *first(void *unused)
{
	zt_reads(go[0][0], "b");
	tells(told, 1);
	tells(outer_told, 3);
	tells(once, 6);
	tells(passed_over, 7); /* and the other's is forgotten */
	zt_writes(done[1], "d");
	zt_reads(go[0][0], "a");
	tells(told, 0);
	tells(untold, 2);
	tells(outer_told, 0);
	tells(level, 5);
	tells(once, 0);
	tells(passed_over, 0);
	tells(exclusive, 0);
	zt_writes(done[1], "d");
	return unused;
}

static void *second(void *unused)
{
	zt_reads(go[1][0], "b");
	tells(exclusive, 9);
	zt_writes(done[1], "d");
	zt_reads(go[1][0], "a");
	tells(told, 0);
	tells(untold, 0);
	tells(outer_told, 0);
	tells(outer_untold, 4);
	tells(outer_untold, 0);
	tells(level, 5);
	tells(once, 0);
	tells(passed_over, 0);
	tells(exclusive, 0);
	zt_writes(done[1], "d");
	return unused;
}

int main(void)
{
	pthread_t threads[THREADS];
	int fd = signalfd_of(SIGUSR1), other = signalfd_of(SIGUSR2);
	make_pipes();
	told = watching(fd, EDGE, 1);
	untold = watching(fd, EDGE, 2);
	outer_told = watching(watching(fd, EDGE, 1), EDGE, 3);
	outer_untold = watching(watching(fd, EPOLLIN, 1), EDGE, 4);
	level = watching(watching(fd, EPOLLIN, 1), EPOLLIN, 5);
	once = watching(fd, EPOLLIN | EPOLLONESHOT, 6);
	passed_over = watching(fd, EDGE, 7);
	add(passed_over, other, EDGE, 8);
	exclusive = watching(other, EDGE | EPOLLEXCLUSIVE, 9);
	zt_same(pthread_create(&threads[0], NULL, first, NULL), 0);
	zt_same(pthread_create(&threads[1], NULL, second, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		zt_same(pthread_kill(threads[i], SIGUSR1), 0);
	zt_same(pthread_kill(threads[1], SIGUSR2), 0);
	let_each_go("b");

	zt_ready();

	let_each_go("a");
	for (int i = 0; i < THREADS; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	return zt_pass();
}
