/* An inotify instance that raises signals (O_ASYNC) tells its number, and nothing while it is moved. */
#include "zt_test.h"

#include <sys/inotify.h>

#define SIGNAL (SIGRTMIN + 5)

int main(void)
{
	char path[64], made[80], events[1024];
	sigset_t set;
	siginfo_t info;
	const struct timespec now = {0, 0}, limit = {20, 0};
	snprintf(path, sizeof path, "zt_inotify_signals.%d", (int)getpid());
	snprintf(made, sizeof made, "%s/new", path);
	zt_must(mkdir(path, 0700));
	sigemptyset(&set);
	sigaddset(&set, SIGNAL);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	int first = zt_must(inotify_init1(IN_NONBLOCK));
	int fd = zt_must(fcntl(first, F_DUPFD, 200));
	zt_must(close(first));
	zt_must(inotify_add_watch(fd, path, IN_CREATE | IN_DELETE));
	/* An event waits, which is looked at: nobody was told of it. */
	zt_must(close(zt_must(open(made, O_CREAT | O_WRONLY, 0600))));
	zt_must(fcntl(fd, F_SETOWN, getpid()));
	zt_must(fcntl(fd, F_SETSIG, SIGNAL));
	zt_must(fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));

	zt_ready();

	zt_check(sigtimedwait(&set, &info, &now) == -1 && errno == EAGAIN);
	zt_same(fcntl(fd, F_GETOWN), getpid());
	zt_same(fcntl(fd, F_GETFL) & (O_ASYNC | O_NONBLOCK), O_ASYNC | O_NONBLOCK);
	zt_must(unlink(made));
	zt_same(sigtimedwait(&set, &info, &limit), SIGNAL);
	zt_same(info.si_fd, fd);
	zt_check(read(fd, events, sizeof events) > (ssize_t)sizeof(struct inotify_event));
	zt_must(rmdir(path));
	return zt_pass();
}
