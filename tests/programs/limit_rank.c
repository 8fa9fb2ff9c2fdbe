/* RLIMIT_NICE, RLIMIT_RTPRIO, RLIMIT_CORE and RLIMIT_MSGQUEUE at nothing: what they refuse, they do. */
#include "zt_limit.h"

#include <sched.h>

int main(void)
{
	zt_must(setpriority(PRIO_PROCESS, 0, 5));
	zt_limit(RLIMIT_NICE, 0);
	zt_limit(RLIMIT_RTPRIO, 0);
	zt_limit(RLIMIT_CORE, 0);
	zt_limit(RLIMIT_MSGQUEUE, 0);
	bool may_all = geteuid() == 0;

	zt_ready();

	zt_limited(RLIMIT_NICE, 0);
	zt_limited(RLIMIT_RTPRIO, 0);
	zt_limited(RLIMIT_CORE, 0);
	zt_limited(RLIMIT_MSGQUEUE, 0);
	zt_same(getpriority(PRIO_PROCESS, 0), 5);
	if (!may_all) {
		struct sched_param one = {.sched_priority = 1};
		zt_check(setpriority(PRIO_PROCESS, 0, 4) == -1 && errno == EACCES);
		zt_check(sched_setscheduler(0, SCHED_FIFO, &one) == -1 && errno == EPERM);
	}
	zt_must(setpriority(PRIO_PROCESS, 0, 6));
	pid_t child = zt_must(fork());
	if (child == 0)
		abort();
	int status;
	zt_same(waitpid(child, &status, 0), child);
	zt_check(WIFSIGNALED(status) && !WCOREDUMP(status));
	return zt_pass();
}
