/* epoll_wait without a limit, blocked while the pod is frozen. */
#include "zt_blocked.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static int ep, event;

static void blocks(void)
{
	struct epoll_event got;
	zt_same(epoll_wait(ep, &got, 1, -1), 1);
	zt_same(got.data.u64, 5);
	eventfd_t value;
	zt_must(eventfd_read(event, &value));
	zt_same(value, 9);
}

static void frees(void) { zt_must(eventfd_write(event, 9)); }

int main(void)
{
	ep = zt_must(epoll_create1(0));
	event = zt_must(eventfd(0, 0));
	struct epoll_event want = {.events = EPOLLIN, .data.u64 = 5};
	zt_must(epoll_ctl(ep, EPOLL_CTL_ADD, event, &want));
	return zt_blocked(blocks, frees);
}
