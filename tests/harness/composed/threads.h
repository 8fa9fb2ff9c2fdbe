/* Threads that are at rest, each in another call, which nothing of ours may cut short. */
#ifndef COMPOSED_THREADS_H
#define COMPOSED_THREADS_H

#include "composed.h"

#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>

static const int SIGNALS[] = {SIGUSR1, SIGUSR2,	 34,	 37,	  SIGTERM,
			      SIGHUP,  SIGWINCH, SIGURG, SIGCHLD, 64};

enum { DAY = 86400, TELL = 60, NEST = 59, NESTED = 58 };

struct rest { /* a thread that waits */
	pthread_t thread;
	int how, number;
	_Atomic int tid;
	_Atomic bool told, ended;
	int fds[2]; /* what it waits at */
};

static struct rest rests[THREADS];
static int rest_count;

static void on_tell(int number)
{
	(void)number;
}

/* Waits where it is, in a handler on top of a handler. */
static void on_nest(int number)
{
	if (number == NEST)
		raise(NESTED);
	else
		wait_phase(CHECK);
}

enum how {
	SLEEPS,
	AT_FUTEX,
	AT_PIPE,
	AT_SIGWAIT, /* told each in its way */
	AT_POLL,
	AT_PPOLL,
	AT_SELECT,
	AT_EPOLL,
	AT_OFD_LOCK,
	AT_FLOCK,
	AT_RECV,
	AT_ACCEPT,
	AT_FIFO,
	AT_PAUSE,
	AT_SIGSUSPEND,
	AT_CLOCK,
	AT_EVENTFD,
	AT_TIMERFD,
	AT_FULL_PIPE,
	AT_FULL_SOCKET,
	AT_PRIVATE_FUTEX,
	IN_HANDLER,
	HOWS
};

/* Two descriptions of a file that has no name any more. */
static int open_twice(int fds[2], int seed)
{
	char name[32];
	new_name(name, "locked");
	fds[0] = new_file(name, 10, seed, 0600);
	fds[1] = open(name, O_RDWR | O_CLOEXEC);
	unlink(name);
	return fds[0] < 0 || fds[1] < 0 ? -1 : 0;
}

static int fill_up(int fd)
{
	char data[PAGE] = {0};
	int flags = fcntl(fd, F_GETFL);
	fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	while (write(fd, data, sizeof data) > 0)
		;
	return fcntl(fd, F_SETFL, flags);
}

static int listen_somewhere(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	char name[32];
	new_name(name, "rest");
	strcpy(address.sun_path, name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1)))
		return -1;
	return fd;
}

/* What its call needs. -1 where a limit stands in the way. */
static int prepare(struct rest *it)
{
	static const struct itimerspec LATER = {.it_value.tv_sec = DAY};
	struct flock whole = {.l_type = F_WRLCK};
	struct epoll_event event = {.events = EPOLLIN};
	switch ((enum how)it->how) {
	case AT_PIPE:
	case AT_POLL:
	case AT_PPOLL:
	case AT_SELECT:
		return pipe(it->fds);
	case AT_FULL_PIPE:
		return pipe(it->fds) || fill_up(it->fds[1]) ? -1 : 0;
	case AT_FULL_SOCKET:
		return socketpair(AF_UNIX, SOCK_STREAM, 0, it->fds) || fill_up(it->fds[1]) ? -1 : 0;
	case AT_EPOLL:
		it->fds[0] = epoll_create1(0);
		it->fds[1] = eventfd(0, 0);
		return epoll_ctl(it->fds[0], EPOLL_CTL_ADD, it->fds[1], &event);
	case AT_OFD_LOCK:
		return open_twice(it->fds, it->number) || fcntl(it->fds[0], F_OFD_SETLK, &whole)
			       ? -1
			       : 0;
	case AT_FLOCK:
		return open_twice(it->fds, it->number) || flock(it->fds[0], LOCK_EX) ? -1 : 0;
	case AT_RECV:
		return socketpair(AF_UNIX, SOCK_SEQPACKET, 0, it->fds);
	case AT_ACCEPT:
		return it->fds[0] = listen_somewhere();
	case AT_EVENTFD:
		return it->fds[0] = eventfd(0, 0);
	case AT_TIMERFD:
		it->fds[0] = timerfd_create(CLOCK_MONOTONIC, 0);
		return timerfd_settime(it->fds[0], 0, &LATER, NULL);
	default:
		return 0;
	}
}

/* A call that ends by the signal alone: -1, and EINTR. */
static long wait_in_a_call(struct rest *me)
{
	struct timespec later = {.tv_sec = DAY};
	struct pollfd polled = {.fd = me->fds[0], .events = POLLIN};
	struct flock whole = {.l_type = F_WRLCK};
	struct epoll_event event;
	char data[16] = {0}, name[32];
	fd_set set;
	sigset_t mask;
	static int own[THREADS];
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	switch ((enum how)me->how) {
	case AT_POLL:
		return poll(&polled, 1, -1);
	case AT_PPOLL:
		return ppoll(&polled, 1, &later, &mask);
	case AT_SELECT:
		FD_ZERO(&set);
		if (me->fds[0] >= FD_SETSIZE)
			return pause();
		FD_SET(me->fds[0], &set);
		return select(me->fds[0] + 1, &set, NULL, NULL, NULL);
	case AT_EPOLL:
		return epoll_wait(me->fds[0], &event, 1, DAY * 1000);
	case AT_OFD_LOCK:
		return fcntl(me->fds[1], F_OFD_SETLKW, &whole);
	case AT_FLOCK:
		return flock(me->fds[1], LOCK_SH);
	case AT_RECV:
		return recv(me->fds[0], data, sizeof data, 0);
	case AT_ACCEPT:
		return accept(me->fds[0], NULL, NULL);
	case AT_FIFO:
		new_name(name, "rest-fifo");
		return mkfifo(name, 0600) ? pause() : open(name, O_RDONLY);
	case AT_SIGSUSPEND:
		return sigsuspend(&mask);
	case AT_CLOCK:
		clock_gettime(CLOCK_MONOTONIC, &later);
		later.tv_sec += DAY;
		errno = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &later, NULL);
		return errno ? -1 : 0;
	case AT_EVENTFD:
	case AT_TIMERFD:
		return read(me->fds[0], data, sizeof data);
	case AT_FULL_PIPE:
	case AT_FULL_SOCKET:
		return write(me->fds[1], data, sizeof data);
	case AT_PRIVATE_FUTEX:
		return syscall(SYS_futex, &own[me - rests], FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	default:
		return pause();
	}
}

static void rest_until_told(struct rest *me)
{
	sigset_t set;
	char told;
	switch ((enum how)me->how) {
	case SLEEPS:
		wait_phase(CHECK);
		return;
	case AT_FUTEX:
		for (int seen; (seen = control->phase) < CHECK;)
			syscall(SYS_futex, &control->phase, FUTEX_WAIT, seen, NULL, NULL, 0);
		return;
	case AT_PIPE:
		while (read(me->fds[0], &told, 1) < 0 && errno == EINTR)
			;
		return;
	case AT_SIGWAIT:
		sigemptyset(&set);
		sigaddset(&set, SIGRTMAX - 3);
		while (sigwaitinfo(&set, NULL) < 0 && errno == EINTR)
			;
		return;
	case IN_HANDLER:
		raise(NEST);
		return;
	default:
		break;
	}
	long result = wait_in_a_call(me);
	if (result != -1 || errno != EINTR || !me->told)
		zt_fail("process %d: a thread at %d came back with %ld, %s, %s", (int)getpid(),
			me->how, result, strerror(errno),
			me->told ? "told" : "and was not told to");
}

static void *rest_body(void *of)
{
	struct rest *me = of;
	char name[16], found[16];
	static char stacks[THREADS][16384];
	stack_t stack = {.ss_sp = stacks[me - rests], .ss_size = sizeof stacks[0]}, stack_now;
	sigset_t mask, mask_now;
	sigemptyset(&mask);
	sigaddset(&mask, pick_from(SIGNALS, me->number));
	sigaddset(&mask, SIGRTMAX - 3);
	pthread_sigmask(SIG_BLOCK, &mask, NULL);
	sigemptyset(&mask);
	sigaddset(&mask, TELL);
	pthread_sigmask(SIG_UNBLOCK, &mask, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	snprintf(name, sizeof name, "rest %d", me->number);
	prctl(PR_SET_NAME, name);
	if (me->number & 1)
		sigaltstack(&stack, NULL);
	sigaltstack(NULL, &stack);
	pid_t tid = gettid();
	setpriority(PRIO_PROCESS, (id_t)tid, me->number % 20);
	int nice = getpriority(PRIO_PROCESS, (id_t)tid);
	me->tid = tid;
	rest_until_told(me);
	zt_same(gettid(), tid);
	zt_same(getpriority(PRIO_PROCESS, (id_t)tid), nice);
	prctl(PR_GET_NAME, found);
	zt_check(strcmp(found, name) == 0);
	pthread_sigmask(SIG_BLOCK, NULL, &mask_now);
	zt_check(memcmp(&mask, &mask_now, 8) == 0);
	sigaltstack(NULL, &stack_now);
	zt_check(stack.ss_sp == stack_now.ss_sp && stack.ss_flags == stack_now.ss_flags);
	me->ended = true;
	return NULL;
}

/* Sleeping, and so in its call: nothing else of it sleeps after it has told its number. */
static bool is_at_rest(pid_t tid)
{
	char path[64], stat[512] = {0};
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return true; /* a limit; the go is far away */
	ssize_t n = read(fd, stat, sizeof stat - 1);
	close(fd);
	const char *name_ends = strrchr(stat, ')');
	return n <= 0 || name_ends == NULL || name_ends[2] == 'S';
}

/* thread HOW NUMBER */
static void do_thread(const int *a)
{
	struct rest *it = &rests[rest_count];
	struct sigaction tell = {.sa_handler = on_tell},
			 nest = {.sa_handler = on_nest, .sa_flags = SA_ONSTACK};
	if (rest_count == THREADS)
		return;
	*it = (struct rest){.how = (int)((unsigned)a[0] % HOWS),
			    .number = (int)((unsigned)a[1] % 1000)};
	sigaction(TELL, &tell, NULL);
	sigaction(NEST, &nest, NULL);
	sigaction(NESTED, &nest, NULL);
	if (prepare(it) < 0 || pthread_create(&it->thread, NULL, rest_body, it))
		return;
	rest_count++;
	until(it->tid && is_at_rest(it->tid));
}

static void end_threads(void)
{
	for (struct rest *it = rests; it < rests + rest_count; it++) {
		it->told = true;
		if (it->how == AT_FUTEX)
			syscall(SYS_futex, &control->phase, FUTEX_WAKE, 1 << 20, NULL, NULL, 0);
		if (it->how == AT_PIPE)
			zt_same(write(it->fds[1], "!", 1), 1);
		if (it->how == AT_SIGWAIT)
			pthread_kill(it->thread, SIGRTMAX - 3);
		/* Again: a signal may come just before the call, which is made anew after a freeze.
		 */
		for (int n = 0; it->how > AT_SIGWAIT && it->how != IN_HANDLER && !it->ended; n++) {
			zt_check(n < 5000);
			pthread_kill(it->thread, TELL);
			usleep(2000);
		}
		zt_same(pthread_join(it->thread, NULL), 0);
	}
}

#endif
