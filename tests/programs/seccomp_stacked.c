/* Several filters, one on the other: errno, trap, kill, trace without a tracer, an argument looked at. */
#include "zt_seccomp.h"

static volatile sig_atomic_t trapped;
static siginfo_t told;

static void on_sigsys(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	trapped++;
	told = *info;
}

static void check(void)
{
	zt_refused(syscall(SYS_getuid), 77);
	zt_refused(syscall(SYS_getgid), ENOSYS);
	zt_refused(syscall(SYS_dup2, 1, 99), EPERM); /* the newer of two answers */
	zt_same(dup2(1, 98), 98);
	trapped = 0;
	syscall(SYS_sched_yield);
	zt_same(trapped, 1);
	zt_same(told.si_code, 1 /* SYS_SECCOMP */);
	zt_same(told.si_syscall, SYS_sched_yield);
	zt_same(told.si_arch, AUDIT_ARCH_X86_64);
	zt_same(told.si_errno, 5);
	zt_check(told.si_call_addr && memcmp((char *)told.si_call_addr - 2, "\x0f\x05", 2) == 0);
	zt_same(WTERMSIG(zt_ends(syscall(SYS_sync))), SIGSYS);
	zt_same(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = on_sigsys, .sa_flags = SA_SIGINFO};
	zt_must(sigaction(SIGSYS, &action, NULL));
	zt_no_new_privs();
	zt_must(zt_on(SYS_getuid, SECCOMP_RET_ERRNO | 77));
	zt_must(zt_on(SYS_getgid, SECCOMP_RET_TRACE | 3));
	zt_must(zt_on(SYS_sched_yield, SECCOMP_RET_TRAP | 5));
	zt_must(zt_on(SYS_sync, SECCOMP_RET_KILL_PROCESS));
	zt_must(zt_filter(0, LOAD(nr), UNLESS(SYS_dup2, 3), LOAD(args[1]), UNLESS(99, 1),
			  RET(SECCOMP_RET_ERRNO | EACCES), RET(SECCOMP_RET_ALLOW)));
	zt_must(zt_filter(SECCOMP_FILTER_FLAG_LOG, LOAD(nr), UNLESS(SYS_dup2, 3), LOAD(args[1]),
			  UNLESS(99, 1), RET(SECCOMP_RET_ERRNO | EPERM), RET(SECCOMP_RET_ALLOW)));
	check();

	zt_ready();

	check();
	zt_must(zt_on(SYS_getuid, SECCOMP_RET_ERRNO | 78));
	zt_refused(syscall(SYS_getuid), 78);
	zt_same(zt_ends(zt_refused(syscall(SYS_getuid), 78); zt_refused(syscall(SYS_getgid), ENOSYS)), 0);
	return zt_pass();
}
