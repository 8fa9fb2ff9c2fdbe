/* What an epoll instance watches, by which number, for what, with what data. */
#include "zt_test.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

static int ep;

static void add(int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};
	zt_must(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
}

int main(void)
{
	int p[2], s[2];
	ep = zt_must(epoll_create1(EPOLL_CLOEXEC));
	zt_must(pipe(p));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	int event = zt_must(eventfd(0, 0));
	int inner = zt_must(epoll_create1(0));
	add(p[0], EPOLLIN, 0xfedcba9876543210ULL);
	add(s[0], EPOLLIN | EPOLLRDHUP, 2);
	add(event, EPOLLIN | EPOLLET, 3);
	add(inner, EPOLLIN, 4);
	struct epoll_event in_inner = {.events = EPOLLIN, .data.u64 = 5};
	zt_must(epoll_ctl(inner, EPOLL_CTL_ADD, s[1], &in_inner));
	int once[2], spent = zt_must(epoll_create1(EPOLL_CLOEXEC));
	struct epoll_event one = {.events = EPOLLIN | EPOLLONESHOT, .data.u64 = 6};
	zt_must(pipe(once));
	zt_must(epoll_ctl(spent, EPOLL_CTL_ADD, once[0], &one));
	zt_writes(once[1], "x");
	zt_same(epoll_wait(spent, &one, 1, 1000), 1);
	zt_reads(once[0], "x"); /* the watch waits for nothing any more, nor does the pipe hold anything */

	zt_ready();

	struct epoll_event got[8];
	zt_same(epoll_wait(ep, got, 8, 0), 0);
	zt_writes(p[1], "x");
	zt_same(epoll_wait(ep, got, 8, 1000), 1);
	zt_check(got[0].data.u64 == 0xfedcba9876543210ULL && got[0].events == EPOLLIN);
	zt_reads(p[0], "x");
	zt_must(eventfd_write(event, 1));
	zt_same(epoll_wait(ep, got, 8, 1000), 1);
	zt_same(got[0].data.u64, 3);
	zt_same(epoll_wait(ep, got, 8, 0), 0);
	zt_writes(s[0], "y");
	zt_same(epoll_wait(ep, got, 8, 1000), 1);
	zt_same(got[0].data.u64, 4);
	zt_same(epoll_wait(inner, got, 8, 0), 1);
	zt_same(got[0].data.u64, 5);
	zt_must(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	zt_must(epoll_ctl(ep, EPOLL_CTL_DEL, inner, NULL));
	zt_must(close(s[1]));
	zt_same(epoll_wait(ep, got, 8, 1000), 1);
	zt_same(got[0].data.u64, 2);
	zt_check(got[0].events & EPOLLRDHUP);
	zt_must(close(once[1]));
	zt_same(epoll_wait(spent, got, 8, 0), 0); /* not even this, until it is armed again */
	one.events = EPOLLIN | EPOLLONESHOT;
	zt_must(epoll_ctl(spent, EPOLL_CTL_MOD, once[0], &one));
	zt_same(epoll_wait(spent, got, 8, 0), 1);
	zt_same(got[0].events, EPOLLHUP);
	return zt_pass();
}
