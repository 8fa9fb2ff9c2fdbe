/* What is asked of seccomp(2) is answered as by the kernel. */
#include "zt_seccomp.h"

int main(void)
{
	struct sock_filter nonsense[] = {{0xffff, 0, 0, 0}}, allow[] = {RET(SECCOMP_RET_ALLOW)};
	struct sock_fprog bad = {1, nonsense}, none = {0, allow};
	struct sock_fprog unset = {1, NULL}, nowhere = {1, (void *)8}, good = {1, allow};
	struct seccomp_notif_sizes sizes = {0};
	uint32_t actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO, SECCOMP_RET_ALLOW};
	uint32_t unknown = 0x12340000;

	zt_same(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
	if (!prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) && geteuid()) {
		zt_refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &good), EACCES);
		zt_refused(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &good), EACCES);
	}
	zt_refused(prctl(PR_SET_NO_NEW_PRIVS, 2, 0, 0, 0), EINVAL);
	zt_no_new_privs();
	zt_refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, NULL), EFAULT);
	zt_refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1 << 20, &good), EINVAL);
	zt_refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &bad), EINVAL);
	zt_refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &none), EINVAL);
	zt_refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &unset), EINVAL);
	zt_refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &nowhere), EFAULT);
	zt_refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL), EINVAL);
	zt_refused(syscall(SYS_seccomp, 99, 0, NULL), EINVAL);
	zt_refused(prctl(PR_SET_SECCOMP, 99, NULL), EINVAL);
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		zt_must(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[i]));
	zt_refused(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &unknown), EOPNOTSUPP);
	zt_must(syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes));
	zt_same(sizes.seccomp_data, sizeof(struct seccomp_data));
	zt_same(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);

	zt_ready();

	zt_same(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 0);
	zt_same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
	zt_must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &good));
	zt_same(prctl(PR_GET_SECCOMP, 0, 0, 0, 0), 2);
	zt_refused(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL), EINVAL);
	return zt_pass();
}
