/* A signal that waits for one thread is told to that thread by epoll and signalfd, and to no other.
 * Edges that were told already are the matter of epoll_signal_edges.c. */
#include "zt_own_signals.h"

static int plain, edge, outer, both, either;

static void tells(int ep, uint64_t data)
{
	struct epoll_event got[4];
	zt_same(epoll_wait(ep, got, 4, 0), 1);
	zt_same(got[0].data.u64, data);
}

static void *first(void *unused)
{
	zt_reads(go[0][0], "g");
	tells(plain, 1);
	tells(edge, 2);
	tells(outer, 3);
	tells(both, 4);
	zt_writes(done[1], "d");
	return unused;
}

static void *second(void *unused)
{
	zt_reads(go[1][0], "g");
	tells(either, 5);
	zt_writes(done[1], "d");
	return unused;
}

int main(void)
{
	pthread_t threads[THREADS];
	int fd = signalfd_of(SIGUSR1), other = signalfd_of(SIGUSR2);
	make_pipes();
	plain = watching(fd, EPOLLIN, 1);
	edge = watching(fd, EPOLLIN | EPOLLET, 2);
	outer = watching(plain, EPOLLIN, 3);
	both = watching(fd, EPOLLIN, 4);
	add(both, other, EPOLLIN, 5);
	either = watching(fd, EPOLLIN, 4);
	add(either, other, EPOLLIN, 5);
	zt_same(pthread_create(&threads[1], NULL, second, NULL), 0);
	zt_same(pthread_kill(threads[1], SIGUSR2), 0);
	zt_same(pthread_create(&threads[0], NULL, first, NULL), 0);
	zt_same(pthread_kill(threads[0], SIGUSR1), 0);

	zt_ready();

	let_each_go("g");
	for (int i = 0; i < THREADS; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	return zt_pass();
}
