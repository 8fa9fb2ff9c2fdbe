/* A filter stays with what is executed, and with what that makes; code that can be written to is not
 * for them, and still our stub is there. */
#include "zt_seccomp.h"

#include <sys/mman.h>

static const uint32_t writable_code = PROT_READ | PROT_WRITE | PROT_EXEC;

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
		zt_must(zt_filter(0, LOAD(nr), UNLESS(SYS_mmap, 2), LOAD(args[2]),
				  BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, writable_code, 4, 3),
				  UNLESS(SYS_mprotect, 2), LOAD(args[2]),
				  BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
				  RET(SECCOMP_RET_ALLOW), RET(SECCOMP_RET_KILL_PROCESS)));
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
	zt_same(WTERMSIG(zt_ends(mmap(NULL, 4096, (int)writable_code, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))), SIGSYS);
	return zt_pass();
}
