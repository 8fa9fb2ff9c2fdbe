/* Zombies, by each way to end: what waitpid tells of them. */
#include "zt_test.h"

#include <sys/syscall.h>

static const int SIGNALS[] = {0, SIGKILL, SIGTERM, SIGSEGV, SIGABRT, 64};
enum { COUNT = sizeof SIGNALS / sizeof *SIGNALS };

int main(void)
{
	pid_t child[COUNT];
	siginfo_t info;
	for (int i = 0; i < COUNT; i++) {
		child[i] = zt_must(fork());
		if (child[i] == 0) {
			if (SIGNALS[i])
				raise(SIGNALS[i]);
			_exit(255);
		}
		zt_must(waitid(P_PID, (id_t)child[i], &info, WEXITED | WNOWAIT));
	}

	static const int TOLD[] = {0, SIGUSR1};
	pid_t odd[2]; /* whose end is told by another signal than SIGCHLD: only __WCLONE waits for them */
	signal(SIGUSR1, SIG_IGN);
	for (int i = 0; i < 2; i++) {
		odd[i] = zt_must((pid_t)syscall(SYS_clone, TOLD[i], 0, 0, 0, 0));
		if (odd[i] == 0)
			_exit(40 + i);
		zt_must(waitid(P_PID, (id_t)odd[i], &info, WEXITED | WNOWAIT | __WCLONE));
	}

	zt_ready();

	for (int i = 0; i < 2; i++) {
		int status;
		zt_same(waitpid(odd[i], &status, WNOHANG), -1);
		zt_same(waitpid(odd[i], &status, WNOHANG | __WCLONE), odd[i]);
		zt_check(WIFEXITED(status));
		zt_same(WEXITSTATUS(status), 40 + i);
	}

	for (int i = 0; i < COUNT; i++) {
		int status;
		zt_same(waitpid(child[i], &status, WNOHANG), child[i]);
		if (SIGNALS[i]) {
			zt_check(WIFSIGNALED(status));
			zt_same(WTERMSIG(status), SIGNALS[i]);
		} else {
			zt_check(WIFEXITED(status));
			zt_same(WEXITSTATUS(status), 255);
		}
	}
	zt_check(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
	return zt_pass();
}
