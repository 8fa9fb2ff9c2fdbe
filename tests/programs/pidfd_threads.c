/* Pidfds of threads (PIDFD_THREAD, Linux 6.9): the first, another, and one that has ended. */
#include "zt_pidfd.h"

#include <pthread.h>
#include <sys/epoll.h>

static volatile pid_t tid, told;
static volatile bool stop;

static void on_signal(int signal)
{
	(void)signal;
	told = (pid_t)syscall(SYS_gettid);
}

/* A signal may end it early. */
static void nap(void)
{
	nanosleep(&(struct timespec){0, ZT_MS}, NULL);
}

static void *live(void *context)
{
	(void)context;
	tid = (pid_t)syscall(SYS_gettid);
	while (!stop)
		nap();
	return NULL;
}

/* A thread, and its id. */
static pthread_t start(pid_t *ret)
{
	pthread_t thread;
	tid = 0;
	zt_same(pthread_create(&thread, NULL, live, NULL), 0);
	while (!tid)
		nap();
	*ret = tid;
	return thread;
}

static void end(pthread_t thread, int fd)
{
	struct pollfd asked = {.fd = fd}; /* hung up: it comes a moment after the join */
	stop = true;
	zt_same(pthread_join(thread, NULL), 0);
	stop = false;
	zt_same(poll(&asked, 1, 20000), 1);
	zt_check(asked.revents & POLLHUP);
}

int main(void)
{
	pid_t id, gone_id;
	struct zt_info info;
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = 9};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	zt_must(sigaction(SIGUSR1, &action, NULL));
	int of_first = zt_pidfd(getpid(), ZT_THREAD);
	if (of_first == -1 && errno == EINVAL) {
		zt_ready();
		printf("this kernel has no pidfds of threads\n");
		fflush(stdout);
		return zt_pass();
	}
	pthread_t ended = start(&gone_id);
	int gone = zt_must(zt_pidfd(gone_id, ZT_THREAD));
	end(ended, gone);
	pthread_t thread = start(&id);
	int of_thread = zt_must(zt_pidfd(id, ZT_THREAD)), whole = zt_must(zt_pidfd(getpid(), 0));
	int ep = zt_must(epoll_create1(0));
	zt_must(epoll_ctl(ep, EPOLL_CTL_ADD, of_thread, &event));
	const bool named = zt_pidfd_info(of_thread, ZT_INFO_PID, &info);
	zt_same(zt_pidfd_shown(gone), -1);

	zt_ready();

	zt_same(fcntl(of_thread, F_GETFL), O_RDWR | ZT_THREAD);
	zt_same(fcntl(whole, F_GETFL), O_RDWR);
	zt_same(zt_inode(of_first), zt_inode(whole));
	zt_check(zt_inodes_differ(of_first, of_thread));
	zt_same(zt_pidfd_info(of_thread, ZT_INFO_PID, &info), named);
	if (named) {
		zt_same(info.pid, id);
		zt_same(info.tgid, getpid());
	}
	zt_same(zt_pidfd_shown(gone), -1);
	zt_same(zt_polled(gone), POLLIN | POLLHUP);
	zt_check(zt_pidfd_kill(gone, 0) == -1 && errno == ESRCH);
	zt_same(zt_polled(of_thread), 0);
	zt_same(zt_polled(of_first), 0);

	/* A signal reaches that thread and no other. */
	zt_must(zt_pidfd_kill(of_thread, SIGUSR1));
	while (!told)
		nap();
	zt_same(told, id);
	told = 0;
	zt_must(zt_pidfd_kill(of_first, SIGUSR1));
	while (!told)
		nap();
	zt_same(told, getpid());

	end(thread, of_thread);
	zt_same(epoll_wait(ep, &event, 1, 0), 1);
	zt_same(event.data.u64, 9);
	zt_same(zt_pidfd_shown(of_thread), -1);
	zt_same(zt_pidfd_kill(whole, 0), 0);
	return zt_pass();
}
