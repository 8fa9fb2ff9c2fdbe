/* What programs share that are somebody else than who runs them, as only root can be. */
#ifndef ZT_ROOT_H
#define ZT_ROOT_H

#include "../zt_test.h"

#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#define ZT_BIT(capability) (1ull << (capability))

/* Of this thread alone: the C library's functions would do it in all of them. */
__attribute__((unused)) static void zt_groups(size_t count, const gid_t *groups)
{
	zt_must(syscall(SYS_setgroups, count, groups));
}

__attribute__((unused)) static void zt_gids(gid_t real, gid_t effective, gid_t saved)
{
	zt_must(syscall(SYS_setresgid, real, effective, saved));
}

__attribute__((unused)) static void zt_uids(uid_t real, uid_t effective, uid_t saved)
{
	zt_must(syscall(SYS_setresuid, real, effective, saved));
}

/* As servers do it: no way back. */
__attribute__((unused)) static void zt_become(uid_t uid, gid_t gid)
{
	zt_groups(1, &gid);
	zt_gids(gid, gid, gid);
	zt_uids(uid, uid, uid);
}

__attribute__((unused)) static void zt_capset(uint64_t permitted, uint64_t effective, uint64_t inheritable)
{
	struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct data[2] = {
	    {(uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable},
	    {(uint32_t)(effective >> 32), (uint32_t)(permitted >> 32), (uint32_t)(inheritable >> 32)},
	};
	zt_must(syscall(SYS_capset, &head, data));
}

/* All that says who this thread is, and what it may do, as text. */
__attribute__((unused)) static void zt_who(char *text, size_t size)
{
	static const char *const keys[] = {"Uid:",    "Gid:",    "Groups:", "CapInh:",
					   "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"};
	char line[4096];
	int death = -1;
	size_t used = 0;
	FILE *file = fopen("/proc/thread-self/status", "re");
	zt_check(file != NULL);
	while (fgets(line, sizeof line, file))
		for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
			if (strncmp(line, keys[i], strlen(keys[i])) == 0)
				used += (size_t)snprintf(text + used, size - used, "%s", line);
	fclose(file);
	zt_must(prctl(PR_GET_PDEATHSIG, &death));
	used += (size_t)snprintf(text + used, size - used, "securebits %#x, keeps %d, death %d, dumpable %d\n",
				 (unsigned)prctl(PR_GET_SECUREBITS), prctl(PR_GET_KEEPCAPS), death,
				 prctl(PR_GET_DUMPABLE));
	zt_check(used < size - 1);
}

#define zt_same_text(found, wanted)                                                                \
	do {                                                                                       \
		if (strcmp(found, wanted) != 0)                                                    \
			zt_fail("%s:%d: it was\n%s\nand is\n%s", __FILE__, __LINE__, wanted,       \
				found);                                                            \
	} while (0)

#endif
