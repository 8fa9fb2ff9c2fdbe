/* RLIMIT_SIGPENDING: more signals are queued than may be by now. The kernel counts those of a user, all
 * processes together, so at the edge itself nothing could be told. */
#include "zt_limit.h"

enum { QUEUED = 20 };

int main(void)
{
	sigset_t set;
	siginfo_t info;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	for (int i = 0; i < QUEUED; i++)
		zt_must(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
	zt_limit(RLIMIT_SIGPENDING, QUEUED);

	zt_ready();

	zt_limited(RLIMIT_SIGPENDING, QUEUED);
	zt_check(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = QUEUED}) == -1 && errno == EAGAIN);
	for (int i = 0; i < QUEUED; i++) {
		zt_same(sigwaitinfo(&set, &info), SIGRTMIN);
		zt_same(info.si_value.sival_int, i);
	}
	return zt_pass();
}
