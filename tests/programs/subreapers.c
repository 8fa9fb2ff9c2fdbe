/* Orphans of several sessions and groups whose leaders have ended, each taken by the nearest subreaper
 * above: who is whose child, in which session and group, and who waits for whom. */
#include "zt_test.h"

#include <sys/mman.h>
#include <sys/prctl.h>

enum { SESSIONS = 3, DEPTH = 2 };

typedef struct seen {
	pid_t pid, parent, sid, pgid;
} seen;

static struct {
	seen orphan[DEPTH][SESSIONS];
	int ready, go;
} *all;

static seen look(void)
{
	return (seen){getpid(), getppid(), getsid(0), getpgid(0)};
}

/* A session whose leader makes an orphan in a group of another that ends, too. */
static void leave_orphan(int depth, int which)
{
	int status;
	const pid_t reaper = getpid();
	pid_t leader = zt_must(fork());
	if (leader == 0) {
		zt_must(setsid());
		pid_t first = zt_must(fork());
		if (first == 0) {
			setpgid(0, 0);
			if (zt_must(fork()) == 0) {
				while (getppid() != reaper)
					zt_sleep_ns(ZT_MS);
				all->orphan[depth][which] = look();
				__atomic_add_fetch(&all->ready, 1, __ATOMIC_SEQ_CST);
				while (!__atomic_load_n(&all->go, __ATOMIC_SEQ_CST))
					zt_sleep_ns(ZT_MS);
				const seen was = all->orphan[depth][which], now = look();
				_exit(memcmp(&was, &now, sizeof now) ? 1 : 40 + which);
			}
			_exit(0);
		}
		zt_same(waitpid(first, &status, 0), first);
		_exit(0);
	}
	zt_same(waitpid(leader, &status, 0), leader);
}

static void wait_for_orphans(int depth)
{
	for (int i = 0; i < SESSIONS; i++) {
		int status;
		const pid_t pid = all->orphan[depth][i].pid;
		zt_same(getsid(pid), all->orphan[depth][i].sid);
		zt_same(getpgid(pid), all->orphan[depth][i].pgid);
		zt_check(getpgid(pid) != getsid(pid) && getpgid(pid) != pid);
		zt_same(waitpid(pid, &status, 0), pid);
		zt_check(WIFEXITED(status) && WEXITSTATUS(status) == 40 + i);
	}
	zt_check(waitpid(-1, NULL, __WALL) == -1 && errno == ECHILD);
}

int main(void)
{
	const int shared = MAP_SHARED | MAP_ANONYMOUS;
	all = zt_must(mmap(NULL, 4096, PROT_READ | PROT_WRITE, shared, -1, 0));
	zt_must(prctl(PR_SET_CHILD_SUBREAPER, 1));
	pid_t below = zt_must(fork());
	if (below == 0) { /* a subreaper below one: in a session of its own, too */
		zt_must(setsid());
		zt_must(prctl(PR_SET_CHILD_SUBREAPER, 1));
		for (int i = 0; i < SESSIONS; i++)
			leave_orphan(1, i);
		while (!__atomic_load_n(&all->go, __ATOMIC_SEQ_CST))
			zt_sleep_ns(ZT_MS);
		wait_for_orphans(1);
		_exit(0);
	}
	for (int i = 0; i < SESSIONS; i++)
		leave_orphan(0, i);
	while (__atomic_load_n(&all->ready, __ATOMIC_SEQ_CST) < DEPTH * SESSIONS)
		zt_sleep_ns(ZT_MS);

	zt_ready();

	int mark = 0;
	zt_must(prctl(PR_GET_CHILD_SUBREAPER, &mark));
	zt_same(mark, 1);
	__atomic_store_n(&all->go, 1, __ATOMIC_SEQ_CST);
	zt_join(below);
	wait_for_orphans(0);
	return zt_pass();
}
