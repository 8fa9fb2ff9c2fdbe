/* Watches with every flag, of files that were renamed, removed and linked since, and of such as lie below a
 * directory that was; and nothing that nobody did is told: not even to those who watch all that happens to
 * files that are open. */
#include "zt_inotify.h"

static struct zt_events events;

static int watch(const char *path, unsigned mask)
{
	return zt_must(inotify_add_watch(events.fd, path, mask));
}

int main(void)
{
	zt_must(mkdir("d", 0700));
	zt_put("d/file", "text");
	zt_put("d/log", "text");
	zt_put("d/open", "text");
	zt_put("d/other", "text");
	zt_must(mkdir("e", 0700));
	zt_must(mkdir("f", 0700));
	zt_put("f/unlinked", "text");
	zt_must(symlink("d/file", "link"));
	events.fd = zt_must(inotify_init1(IN_NONBLOCK));
	int open_one = zt_must(open("d/open", O_RDWR | O_CLOEXEC));
	int directory = zt_must(open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int removed = zt_must(open("f/unlinked", O_RDWR | O_CLOEXEC));
	int inside = zt_must(open("e/inside", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	zt_writes(inside, "text");
	zt_must(inotify_add_watch(events.fd, "e", IN_MODIFY | IN_EXCL_UNLINK));
	zt_must(unlink("e/inside"));

	int d = watch("d", IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONLYDIR);
	int log = watch("d/log", IN_MODIFY);
	zt_same(watch("d/log", IN_ATTRIB | IN_MASK_ADD), log);
	zt_check(inotify_add_watch(events.fd, "d/log", IN_OPEN | IN_MASK_CREATE) == -1 && errno == EEXIST);
	int link = watch("link", IN_ATTRIB | IN_MOVE_SELF | IN_DONT_FOLLOW);
	int once = watch("link", IN_MODIFY | IN_ONESHOT);
	int unlinked = watch("f/unlinked", IN_ALL_EVENTS);
	char by_number[64];
	snprintf(by_number, sizeof by_number, "/proc/self/fd/%d", open_one);
	int opened = watch(by_number, IN_ALL_EVENTS);
	zt_put("here", "text");
	int here = watch("here", IN_OPEN);
	zt_must(mkdir("above", 0700));
	zt_must(mkdir("above/deep", 0700));
	zt_must(mkdir("above/deep/most", 0700));
	int deep = watch("above/deep", IN_DELETE_SELF | IN_CREATE);
	int most = watch("above/deep/most", IN_CREATE);
	zt_must(rename("above", "over"));
	zt_must(mkdir("above", 0700)); /* another one has its name */
	zt_must(rename("d/log", "d/log.1"));
	zt_must(unlink("f/unlinked"));
	zt_event(&events, d, IN_MOVED_FROM, "log");
	zt_event(&events, d, IN_MOVED_TO, "log.1");
	zt_event(&events, unlinked, IN_ATTRIB, "");
	zt_no_event(&events);

	zt_ready();

	zt_no_event(&events);
	zt_writes(inside, "more"); /* IN_EXCL_UNLINK */
	zt_no_event(&events);
	zt_put("d/other", "more");
	zt_event(&events, d, IN_OPEN, "other");
	zt_event(&events, d, IN_MODIFY, "other");
	zt_event(&events, d, IN_CLOSE_WRITE, "other");
	zt_must(chmod("d/log.1", 0640));
	zt_event(&events, d, IN_ATTRIB, "log.1");
	zt_event(&events, log, IN_ATTRIB, "");
	zt_put("d/log.1", "more");
	zt_event(&events, d, IN_OPEN, "log.1");
	zt_event(&events, d, IN_MODIFY, "log.1");
	zt_event(&events, log, IN_MODIFY, "");
	zt_event(&events, d, IN_CLOSE_WRITE, "log.1");
	zt_must(rename("link", "link.1"));
	zt_event(&events, link, IN_MOVE_SELF, "");
	zt_put("d/file", "more");
	zt_event(&events, d, IN_OPEN, "file");
	zt_event(&events, d, IN_MODIFY, "file");
	zt_event(&events, once, IN_MODIFY, "");
	zt_event(&events, once, IN_IGNORED, "");
	zt_event(&events, d, IN_CLOSE_WRITE, "file");
	zt_writes(open_one, "more");
	zt_event(&events, d, IN_MODIFY, "open");
	zt_event(&events, opened, IN_MODIFY, "");
	zt_must(close(open_one));
	zt_event(&events, d, IN_CLOSE_WRITE, "open");
	zt_event(&events, opened, IN_CLOSE_WRITE, "");
	zt_writes(removed, "more");
	zt_event(&events, unlinked, IN_MODIFY, "");
	zt_must(close(removed));
	zt_event(&events, unlinked, IN_CLOSE_WRITE, "");
	zt_event(&events, unlinked, IN_DELETE_SELF, "");
	zt_event(&events, unlinked, IN_IGNORED, "");
	zt_must(close(directory));
	zt_event(&events, d, IN_CLOSE_NOWRITE | IN_ISDIR, "");
	zt_no_event(&events);
	zt_same(watch("link.1", IN_ATTRIB | IN_DONT_FOLLOW), link);
	zt_must(mkdir("over/deep/made", 0700));
	zt_event(&events, deep, IN_CREATE | IN_ISDIR, "made");
	zt_must(mkdir("over/deep/most/made", 0700));
	zt_event(&events, most, IN_CREATE | IN_ISDIR, "made");
	zt_must(inotify_rm_watch(events.fd, here));
	zt_event(&events, here, IN_IGNORED, "");
	zt_same(watch("d/file", IN_ATTRIB), most + 1);
	return zt_pass();
}
