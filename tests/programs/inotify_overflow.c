/* A queue that was full: the overflow is told where it was, also when some of it was read since. */
#include "zt_inotify.h"

static struct zt_events full, part, after;

static void watch(struct zt_events *events)
{
	events->fd = zt_must(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	zt_same(zt_must(inotify_add_watch(events->fd, "d", IN_ATTRIB)), 1);
}

static void change(int i)
{
	static const char *const names[] = {"d/one", "d/other"};
	zt_must(chmod(names[i % 2], i % 4 < 2 ? 0600 : 0640));
}

/* Events of change(), up to the overflow; how many there are. */
static int before_overflow(struct zt_events *events, int first)
{
	int count = 0;
	for (;; count++) {
		const struct inotify_event *event = zt_next_event(events);
		if (event->mask == IN_Q_OVERFLOW) {
			zt_same(event->wd, -1);
			return count;
		}
		zt_same(event->mask, IN_ATTRIB);
		zt_check(strcmp(event->name, (first + count) % 2 ? "other" : "one") == 0);
	}
}

int main(void)
{
	char text[16] = {0};
	int limit = zt_must(open("/proc/sys/fs/inotify/max_queued_events", O_RDONLY));
	zt_must(read(limit, text, sizeof text - 1));
	zt_must(close(limit));
	const int most = atoi(text);
	zt_must(mkdir("d", 0700));
	zt_put("d/one", "1");
	zt_put("d/other", "1");
	watch(&full);
	watch(&part);
	watch(&after);
	for (int i = 0; i < most + 10; i++)
		change(i);
	enum { EVENT = sizeof(struct inotify_event) + 16, LEFT = 100 };
	for (int left = most - LEFT; left > 0;) {
		size_t some = (size_t)(left < 1000 ? left : 1000) * EVENT;
		zt_same(read(part.fd, part.buffer, some), some);
		zt_same(read(after.fd, after.buffer, some), some);
		left -= (int)(some / EVENT);
	}
	zt_must(inotify_rm_watch(part.fd, 1));
	zt_must(chmod("d/one", 0600));

	zt_ready();

	zt_same(before_overflow(&full, 0), most);
	zt_no_event(&full);
	zt_same(before_overflow(&part, most - LEFT), LEFT);
	zt_event(&part, 1, IN_IGNORED, "");
	zt_no_event(&part);
	zt_same(before_overflow(&after, most - LEFT), LEFT);
	zt_event(&after, 1, IN_ATTRIB, "one");
	zt_no_event(&after);
	change(1);
	zt_event(&full, 1, IN_ATTRIB, "other");
	zt_event(&after, 1, IN_ATTRIB, "other");
	return zt_pass();
}
