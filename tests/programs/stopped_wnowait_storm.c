/* A stopped child gets more stop signals while its parent has only looked at the first. */
#include "zt_test.h"

int main(void)
{
	siginfo_t info;
	int status;
	pid_t child = zt_must(fork());
	if (child == 0)
		for (;;)
			pause();
	zt_must(kill(child, SIGSTOP));
	zt_must(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT));
	zt_say_ready();
	while (!zt_may_go()) { /* also while it is frozen, or just before */
		zt_must(kill(child, SIGSTOP));
		zt_must(kill(child, SIGTSTP));
		zt_sleep_ns(ZT_MS / 4);
	}
	zt_must(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOHANG));
	zt_same(info.si_pid, child);
	zt_same(info.si_status, SIGSTOP);
	zt_must(kill(child, SIGCONT));
	zt_must(kill(child, SIGTERM));
	zt_same(waitpid(child, &status, 0), child);
	zt_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	return zt_pass();
}
