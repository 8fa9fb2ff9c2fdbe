/* What another user than root has made is that user's: files, pipes, terminals, System V objects. */
#include "zt_root.h"

#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <termios.h>

enum { FILES = 9, UID = 33, GID = 44 };

static struct {
	int fds[FILES];
	char path[64];
	uid_t uids[FILES];
	gid_t gids[FILES];
	int shm, sem, msg;
} its;

static void make(void)
{
	int *fd = its.fds;
	int deleted = zt_file(its.path, sizeof its.path, "gone");
	zt_must(unlink(its.path));
	fd[0] = deleted;
	zt_must(pipe2(fd + 1, O_CLOEXEC));
	zt_must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fd + 3));
	fd[5] = zt_must(memfd_create("its", MFD_CLOEXEC));
	fd[6] = zt_must(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
	zt_must(unlockpt(fd[6]));
	fd[7] = zt_must(open(ptsname(fd[6]), O_RDWR | O_NOCTTY | O_CLOEXEC));
	fd[8] = zt_must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	its.shm = zt_must(shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600));
	its.sem = zt_must(semget(IPC_PRIVATE, 2, IPC_CREAT | 0640));
	its.msg = zt_must(msgget(IPC_PRIVATE, IPC_CREAT | 0600));
	zt_must(msgsnd(its.msg, &(struct { long type; char text[4]; }){1, "abc"}, 4, 0));
	for (int i = 0; i < FILES; i++) {
		struct stat there;
		zt_must(fstat(fd[i], &there));
		its.uids[i] = there.st_uid;
		its.gids[i] = there.st_gid;
	}
	zt_same(its.uids[0], UID);
}

static void is_its(const struct ipc_perm *found, mode_t mode)
{
	zt_same(found->uid, UID);
	zt_same(found->gid, GID);
	zt_same(found->cuid, UID);
	zt_same(found->cgid, GID);
	zt_same(found->mode & 0777, mode);
}

static void look(void)
{
	struct shmid_ds shm;
	struct semid_ds sem;
	struct msqid_ds msg;
	for (int i = 0; i < FILES; i++) {
		struct stat there;
		zt_must(fstat(its.fds[i], &there));
		if (there.st_uid != its.uids[i] || there.st_gid != its.gids[i])
			zt_fail("file %d is of %u:%u, not %u:%u", i, there.st_uid, there.st_gid, its.uids[i],
				its.gids[i]);
	}
	zt_must(shmctl(its.shm, IPC_STAT, &shm));
	is_its(&shm.shm_perm, 0600);
	zt_must(semctl(its.sem, 0, IPC_STAT, &sem));
	is_its(&sem.sem_perm, 0640);
	zt_must(msgctl(its.msg, IPC_STAT, &msg));
	is_its(&msg.msg_perm, 0600);
	zt_must(shmctl(its.shm, IPC_RMID, NULL));
	zt_must(semctl(its.sem, 0, IPC_RMID));
	zt_must(msgctl(its.msg, IPC_RMID, NULL));
}

int main(void)
{
	int ready[2], go[2];
	char byte;
	zt_must(pipe2(ready, O_CLOEXEC));
	zt_must(pipe2(go, O_CLOEXEC));
	zt_must(chmod(".", 0777));
	pid_t child = zt_must(fork());
	if (!child) {
		zt_become(UID, GID);
		make();
		zt_same(write(ready[1], "r", 1), 1);
		zt_same(read(go[0], &byte, 1), 1);
		look();
		_exit(0);
	}
	zt_must(close(ready[1]));
	zt_same(read(ready[0], &byte, 1), 1);
	zt_ready();
	zt_same(write(go[1], "g", 1), 1);
	zt_join(child);
	return zt_pass();
}
