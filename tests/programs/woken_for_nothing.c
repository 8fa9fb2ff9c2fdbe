/* Threads in calls that end early for any signal, while another makes children: those end, and send
 * signals, and none of it does anything for the program. No call ends before it is made to, and those
 * with a limit end when that is over. */
#include "zt_halfway.h"

#include <linux/aio_abi.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { CHILDREN = 150, LONG_S = 600, LIMIT_MS = 300 };

static int untimed[2], timed[2], sockets[2], semaphores, file;
static aio_context_t context;

/* Readable through the first as soon as the second is written to. */
static void make_epoll(int ends[2])
{
	struct epoll_event event = {.events = EPOLLIN};
	ends[0] = zt_must(epoll_create1(0));
	ends[1] = zt_must(eventfd(0, 0));
	zt_must(epoll_ctl(ends[0], EPOLL_CTL_ADD, ends[1], &event));
}

static void wait_epoll(int ep, int timeout_ms)
{
	struct epoll_event got;
	zt_same(zt_must(epoll_wait(ep, &got, 1, timeout_ms)), 1);
}

static void tell(int fd) { zt_same(eventfd_write(fd, 1), 0); }

static void waits_untimed(void) { wait_epoll(untimed[0], -1); }
static void frees_untimed(void) { tell(untimed[1]); }
static void waits_timed(void) { wait_epoll(timed[0], LONG_S * 1000); }
static void frees_timed(void) { tell(timed[1]); }

static void waits_for_signal(void)
{
	const struct timespec limit = {LONG_S, 0};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	zt_same(zt_must(sigtimedwait(&set, NULL, &limit)), SIGUSR2);
}

static void sends_signal(void) { zt_must(kill(getpid(), SIGUSR2)); }

static void change_semaphore(short by)
{
	struct sembuf change = {0, by, 0};
	zt_must(semop(semaphores, &change, 1));
}

static void takes_semaphore(void) { change_semaphore(-1); }
static void gives_semaphore(void) { change_semaphore(1); }

static void receives(void)
{
	char byte;
	zt_same(zt_must(recv(sockets[0], &byte, 1, 0)), 1);
}

static void sends(void) { zt_writes(sockets[1], "s"); }

static void awaits_completion(void)
{
	struct io_event event;
	zt_same(zt_must(syscall(SYS_io_getevents, context, 1, 1, &event, NULL)), 1);
}

static void completes(void)
{
	static char byte;
	struct iocb request = {.aio_fildes = (uint32_t)file,
			       .aio_lio_opcode = IOCB_CMD_PREAD,
			       .aio_buf = (uint64_t)&byte,
			       .aio_nbytes = 1};
	struct iocb *requests[] = {&request};
	zt_same(zt_must(syscall(SYS_io_submit, context, 1, requests)), 1);
}

/* --- with a limit that comes */

static atomic_int over;

static void *ends_by_epoll(void *arg)
{
	struct epoll_event got;
	zt_same(zt_must(epoll_wait(untimed[0], &got, 1, LIMIT_MS)), 0);
	atomic_fetch_add(&over, 1);
	return arg;
}

static void *ends_by_sigtimedwait(void *arg)
{
	const struct timespec limit = {0, LIMIT_MS * ZT_MS};
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	zt_check(sigtimedwait(&set, NULL, &limit) == -1 && errno == EAGAIN);
	atomic_fetch_add(&over, 1);
	return arg;
}

static void *(*const limited[])(void *) = {ends_by_epoll, ends_by_sigtimedwait};
enum { LIMITED = sizeof limited / sizeof *limited };

/* --- without */

static const zt_way ways[] = {
	{waits_untimed, frees_untimed},
	{waits_timed, frees_timed},
	{waits_for_signal, sends_signal},
	{takes_semaphore, gives_semaphore},
	{receives, sends},
	{awaits_completion, completes},
};
enum { COUNT = sizeof ways / sizeof *ways };

/* Its maker is not there for the signals. fork(3) would block them meanwhile: the kernel keeps one that is
 * blocked, and then it does end a call of another thread. */
static pid_t make_child(void)
{
	static const int nothing[] = {SIGCHLD, SIGWINCH, SIGURG, SIGCONT, SIGUSR1};
	const pid_t us = getpid();
	pid_t child = vfork();
	if (child == 0) {
		for (size_t i = 0; i < sizeof nothing / sizeof *nothing; i++)
			kill(us, nothing[i]);
		_exit(0);
	}
	return zt_must(child);
}

/* One ends while the next is made, until every limit has come. */
static void make_children(void)
{
	pid_t before = make_child();
	for (int i = 1; i < CHILDREN || atomic_load(&over) < LIMITED; i++) {
		pid_t child = make_child();
		zt_join(before);
		before = child;
	}
	zt_join(before);
}

int main(void)
{
	const struct timeval limit = {LONG_S, 0};
	pthread_t threads[COUNT], others[LIMITED];
	sigset_t set;
	char path[64];
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	zt_check(signal(SIGUSR1, SIG_IGN) != SIG_ERR);
	make_epoll(untimed);
	make_epoll(timed);
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	zt_must(setsockopt(sockets[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
	semaphores = zt_must(semget(IPC_PRIVATE, 1, 0600));
	file = zt_file(path, sizeof path, "read");
	zt_writes(file, "r");
	zt_must(syscall(SYS_io_setup, 8, &context));
	zt_ways = ways;
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_create(&threads[i], NULL, zt_run_way, (void *)(intptr_t)i), 0);
	zt_ready();
	for (int i = 0; i < LIMITED; i++)
		zt_same(pthread_create(&others[i], NULL, limited[i], NULL), 0);
	make_children();
	for (int i = 0; i < LIMITED; i++)
		zt_same(pthread_join(others[i], NULL), 0);
	zt_none_is_done(COUNT);
	for (int i = 0; i < COUNT; i++) {
		ways[i].frees();
		zt_same(pthread_join(threads[i], NULL), 0);
	}
	zt_must(semctl(semaphores, 0, IPC_RMID));
	zt_must(unlink(path));
	return zt_pass();
}
