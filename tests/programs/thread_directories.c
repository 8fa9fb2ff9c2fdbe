/* Threads with a working directory and a file mode mask of their own, as file servers have one for each client:
 * where each is, what it makes has that mode, and the process is where it was. */
#include "zt_test.h"

#include <sched.h>

enum { THREADS = 3, STACK = 1 << 16 };

static const int FLAGS = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
static char stacks[THREADS][STACK] __attribute__((aligned(16)));
static volatile int entered, done;
static volatile bool go;

static int run(void *argument)
{
	int i = (int)(intptr_t)argument;
	char name[16], path[512];
	struct stat status;
	snprintf(name, sizeof name, "of%d", i);
	zt_must(mkdir(name, 0700));
	zt_must(chdir(name));
	umask((mode_t)(011 * i));
	__atomic_add_fetch(&entered, 1, __ATOMIC_SEQ_CST);
	while (!go)
		zt_sleep_ns(5 * ZT_MS);

	zt_check(getcwd(path, sizeof path) && !strcmp(strrchr(path, '/') + 1, name));
	zt_must(close(zt_must(open("made", O_WRONLY | O_CREAT | O_EXCL, 0666))));
	zt_must(stat("made", &status));
	zt_same(status.st_mode & 0777, 0666 & ~(011 * i));
	zt_must(chdir("/")); /* which moves nobody else */
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
	return 0;
}

int main(void)
{
	char before[512], path[512];
	umask(077);
	zt_check(getcwd(before, sizeof before));
	for (intptr_t i = 0; i < THREADS; i++)
		zt_must(clone(run, stacks[i] + STACK, FLAGS, (void *)i));
	while (entered < THREADS)
		zt_sleep_ns(5 * ZT_MS);

	zt_ready();

	go = true;
	while (done < THREADS)
		zt_sleep_ns(5 * ZT_MS);
	zt_check(getcwd(path, sizeof path) && !strcmp(path, before));
	zt_same(umask(0), 077);
	return zt_pass();
}
