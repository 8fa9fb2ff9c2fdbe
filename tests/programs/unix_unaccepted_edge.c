/* Connections with something sent that wait to be accepted at a listener that epoll watches by its edge: what was told
 * is told no more, what was not is told once, and who closes the listener resets them, also one that was silent. */
#include "zt_unaccepted.h"

#include <sys/epoll.h>

static int watches(int listener)
{
	int epoll = zt_must(epoll_create1(0));
	struct epoll_event edge = {.events = EPOLLIN | EPOLLET, .data.u32 = 7};
	zt_must(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &edge));
	return epoll;
}

static void tells(int epoll, int wanted)
{
	struct epoll_event event;
	zt_same(epoll_wait(epoll, &event, 1, 0), wanted);
	if (wanted)
		zt_same(event.data.u32, 7);
}

int main(void)
{
	struct sockaddr_un at;
	const socklen_t size = zt_unix_address(&at, "edge", false);
	int listener = zt_listens(SOCK_STREAM, &at, size, 5), told = watches(listener), untold = watches(listener);
	int one = zt_connects(SOCK_STREAM, &at, size), two = zt_connects(SOCK_STREAM, &at, size);
	zt_writes(one, "one");
	zt_writes(two, "two");
	int silent = zt_connects(SOCK_STREAM, &at, size);
	tells(told, 1);
	tells(told, 0);

	zt_ready();

	tells(told, 0);
	tells(untold, 1);
	tells(untold, 0);
	int to_one = zt_must(accept(listener, NULL, NULL));
	zt_reads(to_one, "one");
	tells(told, 0);
	int three = zt_connects(SOCK_STREAM, &at, size);
	tells(told, 1);
	tells(untold, 1);
	zt_must(close(listener));
	char byte;
	zt_check(read(two, &byte, 1) == -1);
	zt_same(errno, ECONNRESET);
	zt_check(read(silent, &byte, 1) == -1);
	zt_same(errno, ECONNRESET);
	zt_check(read(three, &byte, 1) == -1);
	zt_same(errno, ECONNRESET);
	zt_through(to_one, one, "stays");
	zt_must(unlink(at.sun_path));
	return zt_pass();
}
