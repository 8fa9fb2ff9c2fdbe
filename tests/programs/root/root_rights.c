/* Threads of one process with ids, groups, capabilities and securebits of their own. */
#include "zt_root.h"

#include <pthread.h>
#include <sys/fsuid.h>

enum { THREADS = 6 };

static pthread_barrier_t all_set;
static char shown[THREADS + 1][2048];

static void only_groups(void)
{
	const gid_t groups[] = {5, 100, 70000, 70001};
	zt_groups(4, groups);
}

/* It went on as another user, and kept some of what it may do, each set with something of its own. */
static void everything(void)
{
	const gid_t groups[] = {2001};
	const uint64_t permitted = ZT_BIT(CAP_CHOWN) | ZT_BIT(CAP_KILL) | ZT_BIT(CAP_NET_RAW);
	const uint64_t inheritable = ZT_BIT(CAP_NET_RAW) | ZT_BIT(CAP_SYS_CHROOT) | ZT_BIT(CAP_MKNOD);
	zt_must(prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP));
	zt_groups(1, groups);
	zt_gids(11, 12, 13);
	syscall(SYS_setfsgid, 14);
	zt_uids(1001, 1002, 1003);
	syscall(SYS_setfsuid, 1004);
	const uint64_t all = permitted | inheritable | ZT_BIT(CAP_SETPCAP);
	zt_capset(all, all, inheritable);
	zt_must(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_NET_RAW, 0, 0));
	zt_must(prctl(PR_CAPBSET_DROP, CAP_MKNOD, 0, 0, 0)); /* it stays inheritable */
	zt_must(prctl(PR_CAPBSET_DROP, CAP_FOWNER, 0, 0, 0));
	zt_must(prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS |
					     SECBIT_NO_CAP_AMBIENT_RAISE | SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED |
					     SECBIT_NO_SETUID_FIXUP_LOCKED));
	zt_capset(permitted, ZT_BIT(CAP_KILL), inheritable);
}

static void nobody_for_good(void)
{
	zt_become(65534, 65534);
	zt_must(prctl(PR_SET_PDEATHSIG, SIGUSR1));
}

/* Its permitted capabilities are there still, the effective ones are not. */
static void for_a_while(void)
{
	zt_uids((uid_t)-1, 33, (uid_t)-1);
}

static void only_files(void)
{
	syscall(SYS_setfsuid, 33);
}

static void keeps(void)
{
	zt_must(prctl(PR_SET_KEEPCAPS, 1));
	zt_uids(33, 33, 33);
}

static void (*const becomes[THREADS])(void) = {
    only_groups, everything, nobody_for_good, for_a_while, only_files, keeps,
};

static void *run(void *argument)
{
	const intptr_t i = (intptr_t)argument;
	char now[sizeof *shown];
	becomes[i]();
	zt_who(shown[i], sizeof *shown);
	pthread_barrier_wait(&all_set);
	pthread_barrier_wait(&all_set); /* the dumpable mark is that of all */
	zt_who(shown[i], sizeof *shown);
	pthread_barrier_wait(&all_set);
	pthread_barrier_wait(&all_set); /* not each may look for the go itself */
	zt_who(now, sizeof now);
	zt_same_text(now, shown[i]);
	if (becomes[i] == for_a_while) {
		zt_uids((uid_t)-1, 0, (uid_t)-1);
		zt_must(syscall(SYS_setgroups, 0, NULL));
	} else if (becomes[i] == everything || becomes[i] == nobody_for_good) {
		zt_check(syscall(SYS_setresuid, 0, 0, 0) == -1 && errno == EPERM);
	}
	return NULL;
}

int main(void)
{
	pthread_t threads[THREADS];
	char now[sizeof *shown];
	pthread_barrier_init(&all_set, NULL, THREADS + 1);
	for (intptr_t i = 0; i < THREADS; i++)
		zt_same(pthread_create(&threads[i], NULL, run, (void *)i), 0);
	pthread_barrier_wait(&all_set);
	pthread_barrier_wait(&all_set);
	zt_who(shown[THREADS], sizeof *shown);
	pthread_barrier_wait(&all_set);
	zt_ready();
	pthread_barrier_wait(&all_set);
	zt_who(now, sizeof now);
	zt_same_text(now, shown[THREADS]);
	for (int i = 0; i < THREADS; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	return zt_pass();
}
