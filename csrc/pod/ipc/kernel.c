#include "kernel.h"

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../api.h"

static const size_t DS_SIZE[] = {sizeof(zt_shm_ds), sizeof(zt_sem_ds), sizeof(zt_msg_ds)};

size_t zt_ipc_ds_size(int32_t kind)
{
    return DS_SIZE[kind];
}

long zt_ipc_control(int32_t kind, int32_t rid, int command, void *argument)
{
    switch (kind) {
    case ZT_IPC_SHM:
        return syscall(SYS_shmctl, rid, command, argument);
    case ZT_IPC_SEM:
        return syscall(SYS_semctl, rid, 0, command, argument);
    default:
        return syscall(SYS_msgctl, rid, command, argument);
    }
}

/* IPC_STAT wants read permission, which its mode may deny even to the owner; *_STAT_ANY does not. */
bool zt_ipc_look_at(int32_t kind, int32_t rid, zt_ipc_ds *ret)
{
    static const int STAT_ANY[] = {15, 20, 13};
    enum { INDEX = 0x7fff };
    memset(ret, 0, sizeof *ret);
    if (!zt_ipc_control(kind, rid, IPC_STAT, ret))
        return true;
    return errno == EACCES && zt_ipc_control(kind, rid & INDEX, STAT_ANY[kind], ret) == rid;
}

int zt_ipc_stamps(int32_t kind, const zt_ipc_ds *ds, int64_t *ret)
{
    const int64_t shm[] = {ds->shm.atime, ds->shm.dtime, ds->shm.ctime, ds->shm.lpid};
    const int64_t sem[] = {ds->sem.otime, ds->sem.ctime};
    const int64_t msg[] = {ds->msg.stime, ds->msg.rtime, ds->msg.ctime, ds->msg.lspid, ds->msg.lrpid};
    static const uint8_t counts[] = {4, 2, 5};
    const int64_t *const all[] = {shm, sem, msg};
    memcpy(ret, all[kind], counts[kind] * sizeof *ret);
    return counts[kind];
}
