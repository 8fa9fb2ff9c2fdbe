/* Nearly all is death, as in the sandbox of a network server: nothing of ours may be what kills it. */
#include "zt_seccomp.h"

#include <poll.h>

#define ALLOW(call) UNLESS(call, 1), RET(SECCOMP_RET_ALLOW)

int main(void)
{
	int pipe_[2];
	const pid_t self = getpid();
	zt_must(pipe(pipe_));
	zt_no_new_privs();
	zt_must(zt_filter(0, LOAD(arch), UNLESS(AUDIT_ARCH_X86_64, 1), BPF_STMT(BPF_JMP | BPF_JA, 1),
			  RET(SECCOMP_RET_KILL_PROCESS), LOAD(nr),
			  UNLESS(SYS_kill, 3), LOAD(args[0]), UNLESS((uint32_t)self, 25), RET(SECCOMP_RET_ALLOW),
			  ALLOW(SYS_read), ALLOW(SYS_write), ALLOW(SYS_vfork), ALLOW(SYS_wait4),
			  ALLOW(SYS_exit), ALLOW(SYS_exit_group), ALLOW(SYS_access), ALLOW(SYS_clock_nanosleep),
			  ALLOW(SYS_poll), ALLOW(SYS_rt_sigreturn), ALLOW(SYS_restart_syscall),
			  ALLOW(SYS_getpid), RET(SECCOMP_RET_KILL_PROCESS)));

	zt_say_ready();
	while (!zt_may_go()) { /* a timed call under way, which is made again */
		struct pollfd nothing = {pipe_[0], POLLIN, 0};
		zt_same(poll(&nothing, 1, 20), 0);
	}

	zt_same(getpid(), self);
	zt_same(kill(self, 0), 0);
	for (int i = 0; i < 3; i++) {
		int status;
		pid_t child = vfork();
		if (!child)
			_exit(7);
		zt_same(waitpid(child, &status, 0), child);
		zt_same(status, 7 << 8);
	}
	return zt_pass();
}
