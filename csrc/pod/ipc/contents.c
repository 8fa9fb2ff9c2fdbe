/* What is in objects: bytes, values and what is undone to them, messages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ipc.h"

enum { GETALL_OF = 13, SETALL_OF = 17, MESSAGE_COPY = 040000, UNDO_FIRST = 8 };

/* -- segments */

void *zt_ipc_hold(zt_ipcs *ipcs, int32_t vid)
{
    zt_ipc_object *object = zt_ipc_find(ipcs, ZT_IPC_SHM, vid);
    zt_ipc_ds ds, before;
    int64_t stamps[ZT_IPC_STAMPS];
    if (!object || !zt_ipc_look(object, &before)) {
        errno = EINVAL;
        return NULL;
    }
    if (object->held)
        return object->held;
    ds = before;
    zt_ipc_show(ipcs, object, &ds);
    zt_ipc_stamps(ZT_IPC_SHM, &ds, stamps);
    void *held = zt_ipc_attach(object, SHM_RDONLY);
    if (held == (void *)-1 && errno == EACCES) { /* its mode denies it even to its owner */
        ds = before;
        ds.perm.mode |= 0400;
        if (!zt_ipc_control(ZT_IPC_SHM, object->ipc.rid, IPC_SET, &ds)) {
            held = zt_ipc_attach(object, SHM_RDONLY);
            zt_ipc_control(ZT_IPC_SHM, object->ipc.rid, IPC_SET, &before);
        }
    }
    if (held == (void *)-1)
        return NULL;
    object->held = held;
    zt_ipc_rebase(object, stamps);
    return held;
}

void zt_ipc_let_go(zt_ipcs *ipcs, int32_t vid)
{
    zt_ipc_object *object = zt_ipc_find(ipcs, ZT_IPC_SHM, vid);
    if (object && object->held && !object->ours)
        zt_ipc_removed(ipcs, object); /* as it was: the rest of this is done already */
}

int zt_ipc_resident(zt_ipcs *ipcs, int32_t vid, uint64_t offset, uint64_t size, void *ret)
{
    enum { PAGE = 4096 };
    const zt_ipc_object *object = zt_ipc_find(ipcs, ZT_IPC_SHM, vid);
    struct shm_info info;
    if (!object || !object->held)
        return -EINVAL;
    if (syscall(SYS_shmctl, 0, SHM_INFO, &info) < 0 || info.shm_swp) { /* mincore does not see those */
        memset(ret, 1, (size + PAGE - 1) / PAGE);
        return 0;
    }
    return mincore((char *)object->held + offset, size, ret) ? -errno : 0;
}

/* -- semaphores */

int zt_ipc_values(zt_ipcs *ipcs, int32_t vid, void *ret_values, void *ret_pids)
{
    const zt_ipc_object *object = zt_ipc_find(ipcs, ZT_IPC_SEM, vid);
    if (!object)
        return -EINVAL;
    memcpy(ret_pids, object->pids, object->ipc.size * sizeof *object->pids);
    for (uint64_t i = 0; !ipcs->moved && i < object->ipc.size; i++) {
        const int pid = semctl(object->ipc.rid, (int)i, GETPID);
        if (pid < 0)
            return -errno;
        ((int32_t *)ret_pids)[i] = pid;
    }
    return zt_ipc_control(ZT_IPC_SEM, object->ipc.rid, GETALL_OF, ret_values) < 0 ? -errno : 0;
}

int zt_ipc_set_values(zt_ipcs *ipcs, int32_t vid, const void *values, const void *pids)
{
    const zt_ipc_object *object = zt_ipc_find(ipcs, ZT_IPC_SEM, vid);
    if (!object)
        return -EINVAL;
    memcpy(object->pids, pids, object->ipc.size * sizeof *object->pids);
    return zt_ipc_control(ZT_IPC_SEM, object->ipc.rid, SETALL_OF, (void *)values) < 0 ? -errno : 0;
}

static int add_undo(zt_ipc_object *object, const zt_ipc_undo *undo)
{
    if (object->undo_count == object->undo_capacity) {
        const uint32_t capacity = object->undo_capacity ? object->undo_capacity * 2 : UNDO_FIRST;
        zt_ipc_undo *undos = realloc(object->undos, capacity * sizeof *undos);
        if (!undos)
            return -ENOMEM;
        object->undos = undos;
        object->undo_capacity = capacity;
    }
    object->undos[object->undo_count++] = *undo;
    return 0;
}

void zt_ipc_undo_by(zt_ipc_object *object, zt_vpid process, uint16_t semaphore, int by)
{
    for (uint32_t i = 0; i < object->undo_count; i++) {
        zt_ipc_undo *undo = &object->undos[i];
        if (undo->process == process.n && undo->semaphore == semaphore) {
            undo->by += by;
            if (!undo->by)
                *undo = object->undos[--object->undo_count];
            return;
        }
    }
    if (by)
        add_undo(object, &(zt_ipc_undo){process.n, semaphore, by});
}

void zt_ipc_undo_never(zt_ipc_object *object, int semaphore)
{
    for (uint32_t i = object->undo_count; i-- > 0;)
        if (semaphore < 0 || object->undos[i].semaphore == semaphore)
            object->undos[i] = object->undos[--object->undo_count];
}

int32_t zt_ipc_undos(zt_ipcs *ipcs, int32_t vid, void *ret, int32_t capacity)
{
    const zt_ipc_object *object = zt_ipc_find(ipcs, ZT_IPC_SEM, vid);
    if (!object)
        return 0;
    const int32_t count = (int32_t)object->undo_count;
    if (count)
        memcpy(ret, object->undos, (size_t)(count < capacity ? count : capacity) * sizeof *object->undos);
    return count;
}

int zt_ipc_note_undo(zt_ipcs *ipcs, int32_t vid, int32_t process, int32_t semaphore, int32_t by)
{
    zt_ipc_object *object = zt_ipc_find(ipcs, ZT_IPC_SEM, vid);
    return object ? add_undo(object, &(zt_ipc_undo){process, semaphore, by}) : -EINVAL;
}

void zt_ipc_process_ended(zt_ipcs *ipcs, zt_vpid process)
{
    for (zt_ipc_object *object = ipcs->first; object; object = object->next)
        for (uint32_t i = object->undo_count; i-- > 0;)
            if (object->undos[i].process == process.n) {
                object->pids[object->undos[i].semaphore] = process.n;
                object->undos[i] = object->undos[--object->undo_count];
            }
}

void zt_ipc_look_for_ended(zt_ipcs *ipcs, bool (*lives)(void *context, zt_vpid process), void *context)
{
    for (zt_ipc_object *object = ipcs->first; object; object = object->next)
        for (uint32_t i = object->undo_count; i-- > 0;)
            if (i < object->undo_count && !lives(context, (zt_vpid){object->undos[i].process}))
                zt_ipc_process_ended(ipcs, (zt_vpid){object->undos[i].process});
}

/* -- queues */

int64_t zt_ipc_message(zt_ipcs *ipcs, int32_t vid, int64_t index, void *ret, uint64_t capacity)
{
    const zt_ipc_object *object = zt_ipc_find(ipcs, ZT_IPC_MSG, vid);
    if (!object)
        return -EINVAL;
    const int64_t size = syscall(SYS_msgrcv, object->ipc.rid, ret, capacity, index, IPC_NOWAIT | MESSAGE_COPY);
    return size < 0 ? -errno : size;
}

int zt_ipc_send(zt_ipcs *ipcs, int32_t vid, const void *message, uint64_t size)
{
    const zt_ipc_object *object = zt_ipc_find(ipcs, ZT_IPC_MSG, vid);
    if (!object)
        return -EINVAL;
    return syscall(SYS_msgsnd, object->ipc.rid, message, size, IPC_NOWAIT) ? -errno : 0;
}
