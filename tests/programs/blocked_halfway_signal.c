/* A signal of the program's own cuts a call short, in a pod as elsewhere; one that does nothing does
 * not. The end of the other side shows as it natively does: on a socket by what was written, on a pipe
 * by SIGPIPE as well. */
#include "zt_halfway.h"

#include <sys/epoll.h>
#include <sys/socket.h>

enum { PIPE = 65536 };

static int handled[2], ignored[2], ended_pipe[2], ended_socket[2], ep;
static struct iovec pieces[ZT_PIECES];
static atomic_int handler_ran;
static pthread_t self[ZT_MOST_WAYS];

static void on_signal(int signal)
{
	(void)signal;
	atomic_fetch_add(&handler_ran, 1);
}

static void by_handled(void)
{
	self[0] = pthread_self();
	zt_same(writev(handled[1], pieces, ZT_PIECES), PIPE);
	zt_same(atomic_load(&handler_ran), 1);
}

static void by_ignored(void)
{
	self[1] = pthread_self();
	zt_same(writev(ignored[1], pieces, ZT_PIECES), ZT_TOTAL);
}

static void blocks_sigpipe(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGPIPE);
	zt_same(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
}

static int sigpipe_came(void)
{
	sigset_t set;
	sigpending(&set);
	return sigismember(&set, SIGPIPE);
}

static void by_ended_pipe(void)
{
	blocks_sigpipe();
	zt_same(writev(ended_pipe[1], pieces, ZT_PIECES), PIPE);
	zt_same(sigpipe_came(), 1);
}

static void by_ended_socket(void)
{
	blocks_sigpipe();
	ssize_t wrote = zt_must(writev(ended_socket[1], pieces, ZT_PIECES));
	zt_check(wrote > 0 && wrote < ZT_TOTAL);
	zt_same(sigpipe_came(), 0);
}

static void by_epoll(void)
{
	struct epoll_event event;
	self[4] = pthread_self();
	zt_check(epoll_wait(ep, &event, 1, -1) == -1 && errno == EINTR);
	zt_same(atomic_load(&handler_ran), 2);
}

static void free_handled(void) { zt_same(pthread_kill(self[0], SIGUSR1), 0); }

static void free_ignored(void)
{
	zt_same(pthread_kill(self[1], SIGCHLD), 0);
	zt_same(pthread_kill(self[1], SIGURG), 0);
	zt_same(pthread_kill(self[1], SIGUSR2), 0);
	zt_sleep_ns(20 * ZT_MS);
	zt_drains(ignored[0], ZT_TOTAL);
}

static void free_ended_pipe(void) { zt_must(close(ended_pipe[0])); }
static void free_ended_socket(void) { zt_must(close(ended_socket[0])); }
static void free_epoll(void) { zt_same(pthread_kill(self[4], SIGUSR1), 0); }

int main(void)
{
	static const zt_way ways[] = {
		{by_handled, free_handled},
		{by_ignored, free_ignored},
		{by_ended_pipe, free_ended_pipe},
		{by_ended_socket, free_ended_socket},
		{by_epoll, free_epoll},
	};
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	zt_fill();
	zt_cut_up(pieces, zt_bytes);
	zt_must(sigaction(SIGUSR1, &action, NULL));
	signal(SIGUSR2, SIG_IGN);
	zt_must(pipe(handled));
	zt_must(pipe(ignored));
	zt_must(pipe(ended_pipe));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ended_socket));
	ep = zt_must(epoll_create1(0));
	return zt_halfway(ways, sizeof ways / sizeof *ways);
}
