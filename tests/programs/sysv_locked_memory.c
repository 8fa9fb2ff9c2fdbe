/* System V segments that stay in memory (SHM_LOCK), one that is attached and one that is not. */
#include "zt_test.h"

#include <sys/ipc.h>
#include <sys/shm.h>

static struct shmid_ds stat_of(int id)
{
	struct shmid_ds now;
	zt_must(shmctl(id, IPC_STAT, &now));
	return now;
}

int main(void)
{
	enum { SEGMENTS = 3 };
	int ids[SEGMENTS];
	for (int i = 0; i < SEGMENTS; i++) {
		ids[i] = zt_must(shmget(IPC_PRIVATE, 4096, 0600));
		zt_must(shmctl(ids[i], SHM_LOCK, NULL));
	}
	zt_must(shmctl(ids[2], SHM_UNLOCK, NULL));
	char *memory = zt_must(shmat(ids[0], NULL, 0));
	strcpy(memory, "locked");
	struct shmid_ds was = stat_of(ids[0]);

	zt_ready();

	struct shmid_ds now = stat_of(ids[0]);
	zt_check(now.shm_perm.mode & SHM_LOCKED);
	zt_same(now.shm_perm.mode, was.shm_perm.mode);
	zt_same(now.shm_ctime, was.shm_ctime);
	zt_check(stat_of(ids[1]).shm_perm.mode & SHM_LOCKED);
	zt_check(!(stat_of(ids[2]).shm_perm.mode & SHM_LOCKED));
	zt_check(strcmp(memory, "locked") == 0);
	zt_must(shmctl(ids[0], SHM_UNLOCK, NULL));
	zt_check(!(stat_of(ids[0]).shm_perm.mode & SHM_LOCKED));
	for (int i = 0; i < SEGMENTS; i++)
		zt_must(shmctl(ids[i], IPC_RMID, NULL));
	return zt_pass();
}
