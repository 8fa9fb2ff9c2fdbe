/* A file that raises signals (O_ASYNC) tells by which number it is known to whoever gets them. */
#include "zt_test.h"

#include <sys/socket.h>

#define SIGNAL (SIGRTMIN + 5)

static volatile sig_atomic_t count, number;

static void on(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	count++;
	number = info->si_fd;
}

static void ask(int fd, pid_t owner)
{
	zt_must(fcntl(fd, F_SETOWN, owner));
	zt_must(fcntl(fd, F_SETSIG, SIGNAL));
	zt_must(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_ASYNC | O_NONBLOCK));
}

/* In a child that has its end under a number of its own, and waits there. */
static void child(int fd, int go)
{
	char byte;
	int own = zt_must(fcntl(fd, F_DUPFD, 300));
	zt_must(close(fd));
	ask(own, getpid());
	zt_writes(go, "r");
	while (!count)
		usleep(1000);
	zt_same(number, own);
	zt_same(read(own, &byte, 1), 1);
	_exit(0);
}

int main(void)
{
	int pipes[2], pair[2], apart[2], told[2];
	struct sigaction action = {.sa_sigaction = on, .sa_flags = SA_SIGINFO | SA_RESTART};
	zt_must(sigaction(SIGNAL, &action, NULL));
	zt_must(pipe(pipes));
	zt_must(pipe(told));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, apart));
	pid_t other = zt_must(fork());
	if (!other)
		child(apart[0], told[1]);
	zt_must(close(apart[0]));
	zt_reads(told[0], "r");
	int high = zt_must(fcntl(pipes[0], F_DUPFD, 200));
	zt_must(close(pipes[0]));
	ask(high, getpid());
	ask(pair[0], getpid());

	zt_ready();

	zt_same(count, 0);
	zt_writes(pipes[1], "x");
	zt_same(count, 1);
	zt_same(number, high);
	zt_writes(pair[1], "x");
	zt_same(count, 2);
	zt_same(number, pair[0]);
	zt_same(fcntl(pair[0], F_GETFL) & (O_ASYNC | O_NONBLOCK), O_ASYNC | O_NONBLOCK);
	zt_writes(apart[1], "x");
	zt_join(other);
	return zt_pass();
}
