/* A filter stays with what is executed, and with what that makes. */
#include "zt_seccomp.h"

static void check(void)
{
	zt_refused(syscall(SYS_getuid), 77);
	zt_refused(syscall(SYS_getgid), 78);
	zt_same(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
	zt_same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		zt_no_new_privs();
		zt_must(zt_on(SYS_getuid, SECCOMP_RET_ERRNO | 77));
		zt_must(zt_on(SYS_getgid, SECCOMP_RET_ERRNO | 78));
		zt_must(execl("/proc/self/exe", argv[0], "executed", NULL));
	}
	check();
	if (argc == 3)
		return 0;

	zt_ready();

	check();
	pid_t child = zt_must(fork());
	if (!child) {
		check();
		zt_must(execl("/proc/self/exe", argv[0], "executed", "again", NULL));
	}
	zt_join(child);
	return zt_pass();
}
