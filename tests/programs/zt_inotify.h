/* Events of inotify, read one by one. */
#ifndef ZT_INOTIFY_H
#define ZT_INOTIFY_H

#include "zt_test.h"

#include <poll.h>
#include <sys/inotify.h>

struct zt_events {
	int fd;
	size_t at, size;
	_Alignas(struct inotify_event) char buffer[1 << 16];
};

__attribute__((unused)) static bool zt_waiting(int fd)
{
	struct pollfd ready = {.fd = fd, .events = POLLIN};
	return zt_must(poll(&ready, 1, 0)) == 1;
}

/* The next event is this one; gives its cookie. */
#define zt_event(events, number, what, called)                                                     \
	({                                                                                         \
		const struct inotify_event *zt_e = zt_next_event(events);                          \
		zt_same(zt_e->wd, number);                                                         \
		zt_same(zt_e->mask, what);                                                         \
		if (strcmp(zt_e->len ? zt_e->name : "", called) != 0)                              \
			zt_fail("%s:%d: an event of \"%s\", not \"%s\"", __FILE__, __LINE__,       \
				zt_e->len ? zt_e->name : "", called);                              \
		zt_e->cookie;                                                                      \
	})

/* Nothing was read and not looked at, and nothing is there to be read. */
#define zt_no_event(events)                                                                        \
	do {                                                                                       \
		if ((events)->at != (events)->size || zt_waiting((events)->fd)) {                  \
			const struct inotify_event *zt_e = zt_next_event(events);                  \
			zt_fail("%s:%d: event %#x of watch %d, \"%s\"", __FILE__, __LINE__,        \
				zt_e->mask, zt_e->wd, zt_e->len ? zt_e->name : "");                \
		}                                                                                  \
	} while (0)

__attribute__((unused)) static const struct inotify_event *zt_next_event(struct zt_events *events)
{
	if (events->at == events->size) {
		zt_check(zt_waiting(events->fd));
		events->at = 0;
		events->size = (size_t)zt_must(read(events->fd, events->buffer, sizeof events->buffer));
	}
	const struct inotify_event *event = (const void *)(events->buffer + events->at);
	events->at += sizeof *event + event->len;
	return event;
}

__attribute__((unused)) static void zt_put(const char *path, const char *text)
{
	int fd = zt_must(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	zt_writes(fd, text);
	zt_must(close(fd));
}

#endif
