/* What is watched by its edge is told once: not again if it was fetched, and still if it was not. */
#include "zt_test.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

enum { KINDS = 9, TOLD = 100 };

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};
	zt_must(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
}

/* Exactly these are told, in this order; 0 ends the list. */
static void tells(int ep, const uint64_t *wanted)
{
	struct epoll_event got[16];
	int n = zt_must(epoll_wait(ep, got, 16, 0)), i = 0;
	for (; wanted[i] != 0; i++) {
		if (i >= n)
			zt_fail("%d of epoll %d: nothing is told, not %d", i, ep, (int)wanted[i]);
		if (got[i].data.u64 != wanted[i])
			zt_fail("%d of epoll %d: told of %d, not of %d", i, ep, (int)got[i].data.u64, (int)wanted[i]);
	}
	if (n > i)
		zt_fail("epoll %d tells of %d, too", ep, (int)got[i].data.u64);
}

#define TELLS(ep, ...) tells(ep, (uint64_t[]){__VA_ARGS__ __VA_OPT__(, ) 0})

int main(void)
{
	int ready[KINDS], pair[2], quiet[2], full[2], twin[2], ports[2];
	sigset_t usr1;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	zt_must(sigprocmask(SIG_BLOCK, &usr1, NULL));
	zt_must(raise(SIGUSR1));
	const struct itimerspec soon = {.it_value = {0, 1}};

	zt_must(pipe(pair));
	zt_writes(pair[1], "x");
	zt_must(pipe(quiet));
	zt_must(pipe(full));
	zt_must(pipe(twin));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ports));
	zt_writes(ports[1], "y");
	ready[0] = pair[0];
	ready[1] = pair[1];
	ready[2] = zt_must(eventfd(3, 0));
	ready[3] = ports[0];
	ready[4] = ports[1];
	ready[5] = zt_must(timerfd_create(CLOCK_MONOTONIC, 0));
	zt_must(timerfd_settime(ready[5], 0, &soon, NULL));
	ready[6] = zt_must(signalfd(-1, &usr1, 0));
	ready[7] = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	int inner = ready[8] = zt_must(epoll_create1(0));
	add(inner, pair[0], EPOLLIN, 1);

	/* All of it was fetched; three are closed under the numbers that they were added by. */
	int fetched = zt_must(epoll_create1(0)), all = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET;
	int moved[3];
	struct epoll_event got[16];
	zt_same(poll(&(struct pollfd){ready[5], POLLIN, 0}, 1, 5000), 1);
	for (int i = 0; i < KINDS; i++)
		add(fetched, ready[i], (uint32_t)all, (uint64_t)(i + 1));
	for (int i = 0; i < 3; i++) {
		moved[i] = zt_must(dup(ready[i]));
		add(fetched, moved[i], (uint32_t)all, 50 + (uint64_t)i);
		zt_must(close(moved[i]));
	}
	add(fetched, quiet[0], (uint32_t)all, 20);
	zt_same(epoll_wait(fetched, got, 16, 0), KINDS + 3);
	TELLS(fetched);

	/* Some were, some not; what was not is told in order. */
	int mixed = zt_must(epoll_create1(0)), n[6];
	for (int i = 0; i < 6; i++)
		n[i] = zt_must(eventfd(0, 0));
	add(mixed, n[0], EPOLLIN, 1);
	add(mixed, n[1], EPOLLIN | EPOLLET, 2);
	add(mixed, n[2], EPOLLIN | EPOLLONESHOT, 3);
	add(mixed, n[3], EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, 4);
	add(mixed, n[4], EPOLLIN | EPOLLET, 5);
	add(mixed, n[5], EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, 6);
	zt_must(eventfd_write(n[4], 1));
	zt_must(eventfd_write(n[5], 1));
	TELLS(mixed, 5, 6);
	static const int order[] = {2, 3, 0, 1};
	for (int i = 0; i < 4; i++)
		zt_must(eventfd_write(n[order[i]], 1));

	/* The same data for all. */
	int alike = zt_must(epoll_create1(0));
	add(alike, n[0], EPOLLIN | EPOLLET, TOLD);
	add(alike, n[1], EPOLLIN | EPOLLET, TOLD);
	TELLS(alike, TOLD, TOLD);

	/* The file of an instance that was told of, where nothing more is told. */
	int outer = zt_must(epoll_create1(0)), within = zt_must(epoll_create1(0));
	add(within, n[1], EPOLLIN | EPOLLET, 1);
	add(outer, within, EPOLLIN | EPOLLET, 2);
	TELLS(outer, 2);

	/* Plain watches, in an order that has gone round. */
	int round = zt_must(epoll_create1(0));
	for (int i = 0; i < 4; i++)
		add(round, n[i], EPOLLIN, (uint64_t)(i + 1));
	zt_same(epoll_wait(round, got, 3, 0), 3);

	zt_ready();

	TELLS(fetched);
	zt_writes(quiet[1], "z");
	TELLS(fetched, 20);
	zt_writes(pair[1], "z");
	zt_same(epoll_wait(fetched, got, 16, 0), 3); /* itself, closed, and the instance */
	TELLS(mixed, 3, 4, 1, 2);
	TELLS(mixed, 1);
	zt_must(eventfd_write(n[4], 1));
	TELLS(mixed, 1, 5);
	TELLS(alike);
	TELLS(outer);
	TELLS(within, 1);
	TELLS(within);
	TELLS(round, 4, 1, 2, 3);
	return zt_pass();
}
