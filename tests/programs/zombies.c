/* Zombies, by each way to end: what waitpid tells of them. */
#include "zt_test.h"

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

	zt_ready();

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
