/* A child stopped by a signal stays stopped, and goes on with SIGCONT. */
#include "zt_test.h"

int main(void)
{
	int status;
	pid_t child = zt_must(fork());
	if (child == 0) {
		raise(SIGSTOP);
		_exit(5);
	}
	zt_same(waitpid(child, &status, WUNTRACED), child);
	zt_check(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);

	zt_ready();

	zt_sleep_ns(30 * ZT_MS);
	zt_same(waitpid(child, &status, WNOHANG | WUNTRACED), 0);
	zt_must(kill(child, SIGCONT));
	zt_same(waitpid(child, &status, 0), child);
	zt_check(WIFEXITED(status) && WEXITSTATUS(status) == 5);
	return zt_pass();
}
