/* poll, ppoll and select without a limit, blocked while the pod is frozen. */
#include "zt_blocked.h"

#include <poll.h>
#include <sys/select.h>

static int p[2];

static void *by_select(void *arg)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(p[0], &set);
	zt_same(select(p[0] + 1, &set, NULL, NULL, NULL), 1);
	zt_check(FD_ISSET(p[0], &set));
	return arg;
}

static void *by_ppoll(void *arg)
{
	struct pollfd fd = {.fd = p[0], .events = POLLIN};
	zt_same(ppoll(&fd, 1, NULL, NULL), 1);
	zt_same(fd.revents, POLLIN);
	return arg;
}

static void blocks(void)
{
	pthread_t other[2];
	zt_same(pthread_create(&other[0], NULL, by_select, NULL), 0);
	zt_same(pthread_create(&other[1], NULL, by_ppoll, NULL), 0);
	struct pollfd fd = {.fd = p[0], .events = POLLIN};
	zt_same(poll(&fd, 1, -1), 1);
	zt_same(fd.revents, POLLIN);
	zt_same(pthread_join(other[0], NULL), 0);
	zt_same(pthread_join(other[1], NULL), 0);
}

static void frees(void) { zt_writes(p[1], "x"); }

int main(void)
{
	zt_must(pipe(p));
	return zt_blocked(blocks, frees);
}
