/* What waits with a signal mask of its own for a while (sigsuspend, ppoll, pselect, epoll_pwait and
 * epoll_pwait2, with and without a time limit) shows that mask in /proc, is woken by what it lets in
 * and nothing else, and has its own mask back afterwards. */
#include "zt_test.h"

#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>

enum { SUSPEND, POLL, POLL_TIMED, SELECT, SELECT_TIMED, EPOLL, EPOLL_TIMED, EPOLL2, N };

static sigset_t usual, meanwhile, inside;
static volatile sig_atomic_t seen;

static void handler(int sig)
{
	seen = sig;
	sigprocmask(SIG_SETMASK, NULL, &inside);
}

static int wait_by(int how)
{
	const struct timespec hour = {3600, 0};
	struct epoll_event event;
	switch (how) {
	case SUSPEND:
		return sigsuspend(&meanwhile);
	case POLL:
	case POLL_TIMED:
		return ppoll(NULL, 0, how == POLL ? NULL : &hour, &meanwhile);
	case SELECT:
	case SELECT_TIMED:
		return pselect(0, NULL, NULL, NULL, how == SELECT ? NULL : &hour, &meanwhile);
	case EPOLL:
	case EPOLL_TIMED:
		return epoll_pwait(zt_must(epoll_create1(0)), &event, 1,
				   how == EPOLL ? -1 : 3600000, &meanwhile);
	default:
		return (int)syscall(SYS_epoll_pwait2, zt_must(epoll_create1(0)), &event, 1, &hour,
				    &meanwhile, 8);
	}
}

static void child(int how)
{
	sigset_t after;
	zt_check(wait_by(how) == -1 && errno == EINTR);
	zt_same(seen, SIGUSR1);
	zt_must(sigprocmask(SIG_SETMASK, NULL, &after));
	zt_same(memcmp(&after, &usual, 8), 0);
	zt_same(sigismember(&inside, SIGUSR2), 1);
	zt_same(sigismember(&inside, SIGHUP), 1);
	zt_must(sigpending(&after));
	zt_same(sigismember(&after, SIGUSR2), 1);
	_exit(0);
}

/* Until the one whose /proc/PID/status is open here waits, with this mask. */
static void await_mask(int fd)
{
	unsigned long long blocked = 0, wanted = 0;
	memcpy(&wanted, &meanwhile, 8);
	for (bool sleeps = false; !sleeps || blocked != wanted; zt_sleep_ns(ZT_MS)) {
		char text[8192];
		ssize_t n = zt_must(pread(fd, text, sizeof text - 1, 0));
		text[n] = 0;
		sleeps = strstr(text, "(sleeping)") != NULL;
		zt_same(sscanf(strstr(text, "SigBlk:"), "SigBlk: %llx", &blocked), 1);
	}
}

int main(void)
{
	pid_t born[N];
	int status[N];
	struct sigaction action = {.sa_handler = handler};
	sigemptyset(&usual);
	sigaddset(&usual, SIGUSR1);
	sigaddset(&usual, SIGUSR2);
	sigemptyset(&meanwhile);
	sigaddset(&meanwhile, SIGUSR2);
	sigaddset(&meanwhile, SIGHUP);
	zt_must(sigaction(SIGUSR1, &action, NULL));
	zt_must(sigprocmask(SIG_SETMASK, &usual, NULL));
	for (int i = 0; i < N; i++) {
		born[i] = zt_must(fork());
		if (born[i] == 0)
			child(i);
	}
	for (int i = 0; i < N; i++) {
		char path[64];
		snprintf(path, sizeof path, "/proc/%d/status", (int)born[i]);
		status[i] = zt_must(open(path, O_RDONLY));
		await_mask(status[i]);
		zt_must(kill(born[i], SIGUSR2)); /* kept out by both masks */
	}

	zt_ready();

	for (int i = 0; i < N; i++)
		await_mask(status[i]);
	for (int i = 0; i < N; i++)
		zt_must(kill(born[i], SIGUSR1));
	for (int i = 0; i < N; i++)
		zt_join(born[i]);
	return zt_pass();
}
