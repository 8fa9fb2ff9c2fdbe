/* Events that were not read, of every kind, in their order; the number of the next watch. */
#include "zt_inotify.h"

#include <dirent.h>

static struct zt_events all, other;

int main(void)
{
	zt_must(mkdir("watched", 0700));
	zt_must(mkdir("second", 0700));
	zt_put("alone", "1");
	zt_put("ends", "1");
	zt_put("watched/old", "1");
	all.fd = zt_must(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
	other.fd = zt_must(inotify_init());
	int gone = zt_must(inotify_add_watch(all.fd, "second", IN_CREATE));
	zt_must(inotify_rm_watch(all.fd, gone));
	int watched = zt_must(inotify_add_watch(all.fd, "watched", IN_ALL_EVENTS));
	int second = zt_must(inotify_add_watch(all.fd, "second", IN_MOVE | IN_MOVE_SELF | IN_DELETE));
	int alone = zt_must(inotify_add_watch(all.fd, "alone", IN_ALL_EVENTS));
	int ends = zt_must(inotify_add_watch(all.fd, "ends", IN_ALL_EVENTS | IN_ONESHOT));
	int last = zt_must(inotify_add_watch(all.fd, ".", IN_ATTRIB));
	zt_must(inotify_rm_watch(all.fd, last));
	zt_same(inotify_add_watch(other.fd, "watched", IN_CREATE), 1);

	int fd = zt_must(open("watched/new", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	zt_writes(fd, "text");
	char c;
	zt_same(pread(fd, &c, 1, 0), 1);
	zt_must(fchmod(fd, 0640));
	zt_must(close(fd));
	zt_must(rename("watched/new", "second/moved"));
	zt_must(rename("watched/old", "watched/newer"));
	zt_must(mkdir("watched/directory", 0700));
	DIR *listed = opendir("watched/directory");
	zt_check(listed && readdir(listed));
	closedir(listed);
	zt_must(rename("watched/directory", "here"));
	zt_must(rename("here", "second/there"));
	zt_must(rmdir("second/there"));
	zt_must(rename("second", "third"));
	zt_put("alone", "2");
	zt_must(chmod("alone", 0640));
	zt_must(rename("alone", "alone.1"));
	zt_must(unlink("alone.1"));
	zt_must(chmod("ends", 0640));
	zt_must(chmod("watched", 0755));

	zt_ready();

	const unsigned dir = IN_ISDIR;
	zt_event(&all, gone, IN_IGNORED, "");
	zt_event(&all, last, IN_IGNORED, "");
	zt_event(&all, watched, IN_CREATE, "new");
	zt_event(&all, watched, IN_OPEN, "new");
	zt_event(&all, watched, IN_MODIFY, "new");
	zt_event(&all, watched, IN_ACCESS, "new");
	zt_event(&all, watched, IN_ATTRIB, "new");
	zt_event(&all, watched, IN_CLOSE_WRITE, "new");
	unsigned from = zt_event(&all, watched, IN_MOVED_FROM, "new");
	zt_check(from != 0);
	zt_same(zt_event(&all, second, IN_MOVED_TO, "moved"), from);
	unsigned within = zt_event(&all, watched, IN_MOVED_FROM, "old");
	zt_check(within != 0 && within != from);
	zt_same(zt_event(&all, watched, IN_MOVED_TO, "newer"), within);
	zt_event(&all, watched, IN_CREATE | dir, "directory");
	zt_event(&all, watched, IN_OPEN | dir, "directory");
	zt_event(&all, watched, IN_ACCESS | dir, "directory");
	zt_event(&all, watched, IN_CLOSE_NOWRITE | dir, "directory");
	unsigned out = zt_event(&all, watched, IN_MOVED_FROM | dir, "directory");
	zt_check(out != zt_event(&all, second, IN_MOVED_TO | dir, "there"));
	zt_event(&all, second, IN_DELETE | dir, "there");
	zt_event(&all, second, IN_MOVE_SELF, "");
	zt_event(&all, alone, IN_OPEN, "");
	zt_event(&all, alone, IN_MODIFY, "");
	zt_event(&all, alone, IN_CLOSE_WRITE, "");
	zt_event(&all, alone, IN_ATTRIB, "");
	zt_event(&all, alone, IN_MOVE_SELF, "");
	zt_event(&all, alone, IN_ATTRIB, "");
	zt_event(&all, alone, IN_DELETE_SELF, "");
	zt_event(&all, alone, IN_IGNORED, "");
	zt_event(&all, ends, IN_ATTRIB, "");
	zt_event(&all, ends, IN_IGNORED, "");
	zt_event(&all, watched, IN_ATTRIB | dir, "");
	zt_no_event(&all);
	zt_check(read(all.fd, all.buffer, sizeof all.buffer) == -1 && errno == EAGAIN);
	zt_event(&other, 1, IN_CREATE, "new");
	zt_event(&other, 1, IN_CREATE | dir, "directory");
	zt_no_event(&other);

	/* The watches that are left go on, and numbers too. */
	zt_put("watched/newer", "2");
	zt_event(&all, watched, IN_OPEN, "newer");
	zt_event(&all, watched, IN_MODIFY, "newer");
	zt_event(&all, watched, IN_CLOSE_WRITE, "newer");
	zt_must(unlink("third/moved"));
	zt_event(&all, second, IN_DELETE, "moved");
	zt_same(inotify_add_watch(all.fd, ".", IN_ATTRIB), last + 1);
	zt_same(inotify_add_watch(all.fd, "watched", IN_CREATE), watched);
	zt_must(inotify_rm_watch(all.fd, watched));
	zt_event(&all, watched, IN_IGNORED, "");
	zt_no_event(&all);
	zt_same(inotify_add_watch(other.fd, ".", IN_ATTRIB), 2);
	return zt_pass();
}
