/* What a core dump holds, and the signal that each thread gets when its parent ends. */
#include "zt_test.h"

#include <pthread.h>
#include <sys/prctl.h>

static int go[2];

static void filter(char *ret, size_t size)
{
	int fd = zt_must(open("/proc/self/coredump_filter", O_RDONLY));
	ssize_t n = zt_must(read(fd, ret, size - 1));
	ret[n] = 0;
	zt_must(close(fd));
}

static void *other(void *result)
{
	char byte;
	int signal;
	zt_must(prctl(PR_SET_PDEATHSIG, SIGUSR2));
	zt_must(write(go[1], "r", 1));
	zt_same(read(go[0], &byte, 1), 1);
	zt_must(prctl(PR_GET_PDEATHSIG, &signal));
	*(int *)result = signal;
	return NULL;
}

int main(void)
{
	char before[32], after[32];
	int fd = zt_must(open("/proc/self/coredump_filter", O_WRONLY)), theirs = 0, mine, back[2];
	zt_same(write(fd, "0x6a", 4), 4);
	zt_must(close(fd));
	filter(before, sizeof before);
	zt_same(strtol(before, NULL, 16), 0x6a);
	zt_must(prctl(PR_SET_PDEATHSIG, SIGWINCH));

	/* Its read takes what we write; what it writes, we take. */
	zt_must(pipe(go));
	zt_must(pipe(back));
	int ours[2] = {back[0], go[1]};
	go[1] = back[1];
	pthread_t thread;
	zt_check(pthread_create(&thread, NULL, other, &theirs) == 0);
	zt_same(read(ours[0], after, 1), 1);

	zt_ready();

	filter(after, sizeof after);
	zt_check(strcmp(before, after) == 0);
	zt_must(prctl(PR_GET_PDEATHSIG, &mine));
	zt_same(mine, SIGWINCH);
	zt_same(write(ours[1], "g", 1), 1);
	zt_check(pthread_join(thread, NULL) == 0);
	zt_same(theirs, SIGUSR2);
	return zt_pass();
}
