/* System V segments: attached twice, for reading only, in part, removed, detached but alive, by a key;
 * and what shmctl tells of them. */
#include "zt_test.h"

#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#define KEY 0x7a617031
#define SIZE (64 * 4096)

static struct shmid_ds stat_of(int id)
{
	struct shmid_ds ds;
	zt_must(shmctl(id, IPC_STAT, &ds));
	return ds;
}

static void same(int id, const struct shmid_ds *was)
{
	struct shmid_ds now = stat_of(id);
	zt_same(now.shm_perm.__key, was->shm_perm.__key);
	zt_same(now.shm_perm.mode, was->shm_perm.mode);
	zt_same(now.shm_segsz, was->shm_segsz);
	zt_same(now.shm_atime, was->shm_atime);
	zt_same(now.shm_dtime, was->shm_dtime);
	zt_same(now.shm_ctime, was->shm_ctime);
	zt_same(now.shm_cpid, was->shm_cpid);
	zt_same(now.shm_lpid, was->shm_lpid);
	zt_same(now.shm_nattch, was->shm_nattch);
}

int main(void)
{
	int keyed = zt_must(shmget(KEY, SIZE, IPC_CREAT | IPC_EXCL | 0640));
	int removed = zt_must(shmget(IPC_PRIVATE, SIZE, 0600));
	int alone = zt_must(shmget(IPC_PRIVATE, 5000, 0600));
	int never = zt_must(shmget(IPC_PRIVATE, 4096, 0600));
	char *first = zt_must(shmat(keyed, NULL, 0));
	char *second = zt_must(shmat(keyed, NULL, 0));
	const char *read_only = zt_must(shmat(keyed, NULL, SHM_RDONLY));
	char *gone = zt_must(shmat(removed, NULL, 0));
	char *brief = zt_must(shmat(alone, NULL, 0));
	strcpy(first, "first page");
	strcpy(first + 40 * 4096 + 5, "far behind");
	strcpy(gone + 4096, "of a removed one");
	strcpy(brief + 4990, "its end");
	zt_must(shmdt(brief));
	zt_must(shmctl(removed, IPC_RMID, NULL));
	zt_must(munmap(second + 4096, 3 * 4096));
	zt_must(mprotect(gone, 4096, PROT_NONE));
	pid_t child = zt_must(fork());
	if (!child) { /* it inherits all of them */
		while (strcmp(first + 8192, "go"))
			usleep(1000);
		strcpy(gone + 8192, "by the child");
		_exit(strcmp(read_only, "first page") != 0);
	}
	const struct shmid_ds was[] = {stat_of(keyed), stat_of(removed), stat_of(alone), stat_of(never)};
	zt_same(was[0].shm_perm.__key, KEY);
	zt_same(was[0].shm_nattch, 2 * (1 + 2 + 1));
	zt_same(was[0].shm_cpid, getpid());
	zt_same(was[1].shm_nattch, 2 * 2);
	zt_check(was[1].shm_perm.mode & SHM_DEST);
	zt_check(!(was[0].shm_perm.mode & SHM_DEST));
	zt_same(was[3].shm_atime, 0);
	zt_same(was[3].shm_lpid, 0);
	zt_same(was[3].shm_nattch, 0);

	zt_ready();

	same(keyed, &was[0]);
	same(removed, &was[1]);
	same(alone, &was[2]);
	same(never, &was[3]);
	zt_same(strcmp(second, "first page"), 0);
	zt_same(strcmp(second + 40 * 4096 + 5, "far behind"), 0);
	strcpy(second + 8 * 4096, "seen by all");
	zt_same(strcmp(read_only + 8 * 4096, "seen by all"), 0);
	zt_same(strcmp(gone + 4096, "of a removed one"), 0);
	zt_same(shmget(KEY, SIZE, 0), keyed);
	zt_check(shmget(KEY, SIZE, IPC_CREAT | IPC_EXCL | 0600) == -1 && errno == EEXIST);
	zt_check(shmget(KEY, SIZE + 1, 0) == -1 && errno == EINVAL);
	zt_check(shmget(KEY + 1, SIZE, 0) == -1 && errno == ENOENT);
	brief = zt_must(shmat(alone, NULL, 0));
	zt_same(strcmp(brief + 4990, "its end"), 0);
	zt_same(stat_of(alone).shm_lpid, getpid());
	zt_same(stat_of(alone).shm_nattch, 1);
	zt_must(shmdt(brief));
	strcpy(first + 8192, "go");
	int status;
	zt_same(zt_must(waitpid(child, &status, 0)), child);
	zt_same(status, 0);
	zt_same(strcmp(gone + 8192, "by the child"), 0);
	zt_same(stat_of(keyed).shm_nattch, 4);
	zt_must(shmdt(first));
	zt_must(shmdt(read_only));
	zt_must(shmctl(keyed, IPC_RMID, NULL));
	zt_check(shmget(KEY, SIZE, 0) == -1 && errno == ENOENT);
	zt_must(munmap(gone, SIZE));
	struct shmid_ds none;
	zt_check(shmctl(removed, IPC_STAT, &none) == -1 && (errno == EINVAL || errno == EIDRM));
	zt_must(shmctl(alone, IPC_RMID, NULL));
	zt_check(shmat(alone, NULL, 0) == (void *)-1 && (errno == EINVAL || errno == EIDRM));
	zt_must(shmctl(never, IPC_RMID, NULL));
	return zt_pass();
}
