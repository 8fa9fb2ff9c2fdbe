/* A child is stopped, and told to go on, at any moment of its execve, its first instruction among them. */
#include "zt_test.h"

int main(int argc, char **argv)
{
	int status;
	if (argc > 1)
		return 7;
	zt_say_ready();
	for (int i = 0; i < 300 || !zt_may_go(); i++) {
		pid_t child = zt_must(fork());
		if (child == 0) {
			execl("/proc/self/exe", argv[0], "again", NULL);
			_exit(1);
		}
		if (i % 4 == 2)
			zt_sleep_ns(i % 50 * ZT_MS / 50);
		zt_must(kill(child, SIGSTOP));
		if (i % 4 == 3) { /* it is seen to stop, or has ended */
			zt_same(waitpid(child, &status, WUNTRACED), child);
			if (!WIFSTOPPED(status)) {
				zt_check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
				continue;
			}
			zt_same(WSTOPSIG(status), SIGSTOP);
		}
		zt_must(kill(child, SIGCONT));
		zt_same(waitpid(child, &status, 0), child);
		zt_check(WIFEXITED(status) && WEXITSTATUS(status) == 7);
	}
	return zt_pass();
}
