/* Processes that were root and are others: whose /proc/PID is, whom they may signal, what they may open. */
#include "zt_root.h"

#include <sys/mman.h>

enum { COUNT = 4 };

static const struct {
	uid_t uid;
	bool dumpable; /* it says so after its change of ids */
} kinds[COUNT] = {{33, false}, {33, true}, {34, true}, {0, true}};

static struct shared {
	pid_t pids[COUNT];
	int ready;
	int go;
	char shown[COUNT][2048];
} *shared;

static void wait_for(volatile int *what, int value)
{
	while (__atomic_load_n(what, __ATOMIC_SEQ_CST) < value)
		zt_sleep_ns(5 * ZT_MS);
}

static void meet(int so_many)
{
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
	wait_for(&shared->ready, so_many);
}

static uid_t owner(void)
{
	struct stat there;
	zt_must(stat("/proc/self/stat", &there));
	return there.st_uid;
}

static void look(int i)
{
	char now[sizeof shared->shown[i]];
	zt_who(now, sizeof now);
	zt_same_text(now, shared->shown[i]);
	zt_same(owner(), kinds[i].dumpable ? kinds[i].uid : 0);
	zt_same(prctl(PR_GET_DUMPABLE), kinds[i].dumpable);
	for (int j = 0; j < COUNT; j++) {
		const bool may = kinds[i].uid == 0 || kinds[i].uid == kinds[j].uid;
		zt_same(kill(shared->pids[j], 0), may ? 0 : -1);
	}
	zt_same(kill(-1, 0), 0); /* whom it may not signal does not count */
	int fd = open("secret", O_RDONLY | O_CLOEXEC);
	zt_same(fd >= 0, kinds[i].uid == 0);
	if (fd >= 0)
		close(fd);
}

static void child(int i)
{
	if (kinds[i].uid)
		zt_become(kinds[i].uid, kinds[i].uid);
	if (kinds[i].dumpable && kinds[i].uid) {
		zt_same(prctl(PR_GET_DUMPABLE), 0);
		zt_must(prctl(PR_SET_DUMPABLE, 1));
	}
	zt_must(prctl(PR_SET_PDEATHSIG, SIGUSR2));
	zt_who(shared->shown[i], sizeof shared->shown[i]);
	meet(COUNT);
	wait_for(&shared->go, 1);
	look(i);
	meet(2 * COUNT);
	wait_for(&shared->go, 2);
	look(i);
	meet(3 * COUNT); /* while they are all there */
	if (i == 0)
		zt_must(kill(-1, SIGUSR1));
	meet(4 * COUNT);
	sigset_t pending;
	zt_must(sigpending(&pending));
	zt_same(sigismember(&pending, SIGUSR1), i == 1);
	_exit(0);
}

int main(void)
{
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	zt_must(sigprocmask(SIG_BLOCK, &one, NULL));
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(shared != MAP_FAILED);
	close(zt_must(open("secret", O_WRONLY | O_CREAT | O_CLOEXEC, 0600)));
	for (int i = 0; i < COUNT; i++) {
		const pid_t pid = zt_must(fork());
		if (!pid)
			child(i);
		shared->pids[i] = pid;
	}
	wait_for(&shared->ready, COUNT);
	shared->go = 1;
	wait_for(&shared->ready, 2 * COUNT);
	zt_ready();
	shared->go = 2;
	for (int i = 0; i < COUNT; i++)
		zt_join(shared->pids[i]);
	zt_must(unlink("secret"));
	return zt_pass();
}
