/* wait4 for any child and waitid for one, blocked while the pod is frozen. */
#include "zt_blocked.h"

static int p[2];
static pid_t child[2];

static void blocks(void)
{
	siginfo_t info;
	int status;
	zt_must(waitid(P_PID, (id_t)child[0], &info, WEXITED));
	zt_same(info.si_pid, child[0]);
	zt_same(info.si_status, 10);
	zt_same(waitpid(-1, &status, 0), child[1]);
	zt_same(WEXITSTATUS(status), 11);
}

static void frees(void) { zt_writes(p[1], "xx"); }

int main(void)
{
	zt_must(pipe(p));
	for (int i = 0; i < 2; i++) {
		child[i] = zt_must(fork());
		if (child[i] == 0) {
			char byte;
			zt_same(read(p[0], &byte, 1), 1);
			_exit(10 + i);
		}
	}
	return zt_blocked(blocks, frees);
}
