/* A watch lives as long as the file, also when the number it was added under is closed, is
 * another file's, or was never the watching process's. */
#include "zt_test.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};
	zt_must(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
}

int main(void)
{
	int ep = zt_must(epoll_create1(0));
	int a = zt_must(eventfd(0, 0)), b = zt_must(eventfd(0, 0)), c = zt_must(eventfd(0, 0));
	int closed = zt_must(dup(a)), reused = zt_must(dup(b));
	add(ep, closed, EPOLLIN, 1);
	add(ep, reused, EPOLLIN, 2);
	add(ep, c, EPOLLIN | EPOLLONESHOT, 3);
	zt_must(close(closed));
	zt_same(dup2(c, reused), reused);
	zt_must(eventfd_write(c, 1));
	struct epoll_event got[8];
	zt_same(epoll_wait(ep, got, 8, 1000), 1);
	zt_same(got[0].data.u64, 3); /* spent */

	zt_ready();

	zt_same(epoll_wait(ep, got, 8, 0), 0);
	zt_must(eventfd_write(a, 1));
	zt_same(epoll_wait(ep, got, 8, 1000), 1);
	zt_same(got[0].data.u64, 1);
	eventfd_t value;
	zt_must(eventfd_read(a, &value));
	zt_must(eventfd_write(b, 1));
	zt_same(epoll_wait(ep, got, 8, 1000), 1);
	zt_same(got[0].data.u64, 2);
	zt_must(eventfd_read(b, &value));
	struct epoll_event again = {.events = EPOLLIN, .data.u64 = 33};
	zt_must(epoll_ctl(ep, EPOLL_CTL_MOD, c, &again));
	zt_same(epoll_wait(ep, got, 8, 1000), 1);
	zt_same(got[0].data.u64, 33);
	zt_check(fcntl(closed, F_GETFD) == -1 && errno == EBADF);
	return zt_pass();
}
