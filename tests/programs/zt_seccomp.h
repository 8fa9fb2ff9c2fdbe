/* Filters for programs that put one on themselves. */
#ifndef ZT_SECCOMP_H
#define ZT_SECCOMP_H

#include "zt_test.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define UNLESS(value, skipped) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skipped)
#define RET(action) BPF_STMT(BPF_RET | BPF_K, action)

#define zt_filter(flags, ...)                                                                      \
	({                                                                                         \
		struct sock_filter zt_code[] = {__VA_ARGS__};                                      \
		struct sock_fprog zt_prog = {sizeof zt_code / sizeof *zt_code, zt_code};           \
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &zt_prog);                    \
	})

/* For this call, this verdict. */
#define zt_on(call, action) zt_filter(0, LOAD(nr), UNLESS(call, 1), RET(action), RET(SECCOMP_RET_ALLOW))

__attribute__((unused)) static void zt_no_new_privs(void)
{
	zt_must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	zt_same(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 1);
}

#define zt_refused(call, error)                                                                    \
	do {                                                                                       \
		zt_same(call, -1);                                                                 \
		zt_same(errno, error);                                                             \
	} while (0)

/* How a child ends that does this. */
#define zt_ends(...)                                                                               \
	({                                                                                         \
		int zt_status;                                                                     \
		pid_t zt_child = zt_must(fork());                                                  \
		if (!zt_child) {                                                                   \
			__VA_ARGS__;                                                               \
			_exit(0);                                                                  \
		}                                                                                  \
		zt_same(waitpid(zt_child, &zt_status, 0), zt_child);                               \
		zt_status;                                                                         \
	})

#endif
