/* One instance, shared with a child that waits in read(2); another that is waited for by epoll. */
#include "zt_inotify.h"

#include <sys/epoll.h>

static struct zt_events events, polled;

int main(void)
{
	zt_must(mkdir("d", 0700));
	zt_must(mkdir("e", 0700));
	events.fd = zt_must(inotify_init());
	polled.fd = zt_must(inotify_init1(IN_CLOEXEC));
	int d = zt_must(inotify_add_watch(events.fd, "d", IN_CREATE));
	int epoll = zt_must(epoll_create1(EPOLL_CLOEXEC));
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 77};
	zt_must(epoll_ctl(epoll, EPOLL_CTL_ADD, polled.fd, &event));
	zt_same(zt_must(inotify_add_watch(polled.fd, "e", IN_CREATE)), 1);
	zt_put("e/first", "1");
	pid_t child = zt_must(fork());
	if (child == 0) {
		char raw[4096] = {0};
		zt_must(read(events.fd, raw, sizeof raw));
		const struct inotify_event *got = (const void *)raw;
		zt_same(got->wd, d);
		zt_check(strcmp(got->name, "new") == 0);
		_exit(0);
	}
	zt_ready();

	zt_put("d/new", "1");
	zt_join(child);
	zt_no_event(&events);
	zt_same(zt_must(inotify_add_watch(events.fd, "e", IN_CREATE)), d + 1);
	zt_same(zt_must(epoll_wait(epoll, &event, 1, 0)), 1);
	zt_same(event.data.u64, 77);
	zt_event(&polled, 1, IN_CREATE, "first");
	zt_no_event(&polled);
	zt_same(zt_must(epoll_wait(epoll, &event, 1, 0)), 0);
	zt_put("e/second", "1");
	zt_same(zt_must(epoll_wait(epoll, &event, 1, 0)), 1);
	zt_event(&polled, 1, IN_CREATE, "second");
	return zt_pass();
}
