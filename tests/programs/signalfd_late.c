/* A signalfd that is made late, where there was none: the senders that it names are known by their
 * ids as the program knows them, also to a thread that was there before. */
#include "zt_test.h"

#include <pthread.h>
#include <sys/signalfd.h>

static int go[2];

static void *reader(void *got)
{
	int fd;
	zt_same(read(go[0], &fd, sizeof fd), sizeof fd);
	zt_same(read(fd, got, 2 * sizeof(struct signalfd_siginfo)), sizeof(struct signalfd_siginfo));
	return NULL;
}

int main(void)
{
	struct signalfd_siginfo got[2];
	pthread_t thread;
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	zt_must(pipe(go));
	zt_same(pthread_create(&thread, NULL, reader, got), 0);
	zt_must(kill(getpid(), SIGUSR1));

	zt_ready();

	int fd = zt_must(signalfd(-1, &set, 0));
	zt_same(write(go[1], &fd, sizeof fd), sizeof fd);
	zt_same(pthread_join(thread, NULL), 0);
	zt_same(got[0].ssi_signo, SIGUSR1);
	zt_same(got[0].ssi_pid, getpid());
	return zt_pass();
}
