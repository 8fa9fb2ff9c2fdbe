/* Children that share memory, descriptors, a working directory or handlers with their parent, each
 * for itself and in any combination that clone takes; and children of whose end no SIGCHLD tells. */
#include "zt_test.h"

#include <sched.h>
#include <sys/mman.h>

enum { ALONE, FS, FILES, FS_FILES, VM, VM_ALL, COUNT };

static const int FLAGS[COUNT] = {
	[FS] = CLONE_FS,
	[FILES] = CLONE_FILES,
	[FS_FILES] = CLONE_FS | CLONE_FILES,
	[VM] = CLONE_VM,
	[VM_ALL] = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND,
};
static const int EXIT_SIGNALS[COUNT] = {SIGCHLD, 0, SIGCHLD, SIGUSR1, 0, SIGCHLD};

/* What a child is told, and tells. */
typedef struct talk {
	int order, done;
} talk;

static talk *talks;
static int in_memory = 1, usr2;
static char stacks[COUNT][65536] __attribute__((aligned(16)));

static void wait_until(const int *word, int value)
{
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) != value)
		zt_sleep_ns(ZT_MS);
}

static void on_usr2(int number)
{
	(void)number;
	usr2++;
}

static int child_main(void *argument)
{
	const int which = *(int *)argument;
	talk *my = &talks[which];
	my->done = 1;
	wait_until(&my->order, 1);
	if (chdir("/") || fcntl(100, F_SETFD, 0) || dup2(1, 101 + which) < 0)
		_exit(90);
	__atomic_add_fetch(&in_memory, 1, __ATOMIC_SEQ_CST);
	struct sigaction action = {.sa_handler = SIG_IGN};
	if (sigaction(SIGUSR2, &action, NULL))
		_exit(91);
	__atomic_store_n(&my->done, 2, __ATOMIC_SEQ_CST);
	wait_until(&my->order, 2);
	_exit(20 + which);
}

static char *here(void)
{
	static char path[4096];
	return zt_must(getcwd(path, sizeof path));
}

static void (*handler(void))(int)
{
	struct sigaction action;
	zt_must(sigaction(SIGUSR2, NULL, &action));
	return action.sa_handler;
}

int main(void)
{
	static int number[COUNT];
	pid_t child[COUNT];
	char home[4096];
	strcpy(home, here());
	talks = zt_must(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	signal(SIGUSR1, SIG_IGN);
	zt_must(dup2(0, 100));
	for (int i = 0; i < COUNT; i++) {
		number[i] = i;
		child[i] = zt_must(clone(child_main, stacks[i] + sizeof stacks[i],
					 FLAGS[i] | EXIT_SIGNALS[i], &number[i]));
		wait_until(&talks[i].done, 1);
	}

	zt_ready();

	for (int i = 0; i < COUNT; i++) {
		const int before = in_memory;
		signal(SIGUSR2, on_usr2);
		zt_must(fcntl(100, F_SETFD, FD_CLOEXEC));
		__atomic_store_n(&talks[i].order, 1, __ATOMIC_SEQ_CST);
		wait_until(&talks[i].done, 2);
		zt_same(strcmp(here(), "/") == 0, !!(FLAGS[i] & CLONE_FS));
		zt_must(chdir(home));
		zt_same(fcntl(100, F_GETFD), FLAGS[i] & CLONE_FILES ? 0 : FD_CLOEXEC);
		zt_same(fcntl(101 + i, F_GETFD) == 0, !!(FLAGS[i] & CLONE_FILES));
		zt_same(in_memory - before, !!(FLAGS[i] & CLONE_VM));
		zt_same(handler() == SIG_IGN, !!(FLAGS[i] & CLONE_SIGHAND));
	}
	for (int i = 0; i < COUNT; i++) {
		int status;
		__atomic_store_n(&talks[i].order, 2, __ATOMIC_SEQ_CST);
		if (EXIT_SIGNALS[i] != SIGCHLD) {
			zt_check(waitpid(child[i], &status, 0) == -1 && errno == ECHILD);
			zt_same(waitpid(child[i], &status, __WCLONE), child[i]);
		} else {
			zt_same(waitpid(child[i], &status, 0), child[i]);
		}
		zt_check(WIFEXITED(status) && WEXITSTATUS(status) == 20 + i);
	}
	return zt_pass();
}
