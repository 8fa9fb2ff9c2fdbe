/* Which objects there are, and what is told of them. */
#include <stdlib.h>
#include <sys/ipc.h>

#include "ipc.h"

void zt_ipc_drop(zt_ipcs *ipcs, zt_ipc_object *object)
{
    zt_ipc_object **at = &ipcs->first;
    while (*at != object)
        at = &(*at)->next;
    *at = object->next;
    free(object->pids);
    free(object->undos);
    free(object);
}

/* A segment that a program has removed is gone when nobody has it attached. */
static bool is_gone(const zt_ipc_object *object)
{
    zt_ipc_ds ds;
    return object->ipc.removed && !zt_ipc_look(object, &ds);
}

static void drop_gone(zt_ipcs *ipcs)
{
    for (zt_ipc_object *object = ipcs->first, *next; object; object = next) {
        next = object->next;
        if (is_gone(object))
            zt_ipc_drop(ipcs, object);
    }
}

zt_ipc_object *zt_ipc_find(zt_ipcs *ipcs, int32_t kind, int32_t vid)
{
    drop_gone(ipcs);
    for (zt_ipc_object *object = ipcs->first; object; object = object->next)
        if (object->ipc.kind == kind && object->ipc.vid == vid)
            return object;
    return NULL;
}

zt_ipc_object *zt_ipc_of_key(zt_ipcs *ipcs, int32_t kind, int32_t key)
{
    for (zt_ipc_object *object = ipcs->first; object; object = object->next)
        if (object->ipc.kind == kind && object->ipc.key == key && key != IPC_PRIVATE)
            return object;
    return NULL;
}

zt_ipc_object *zt_ipc_at(zt_ipcs *ipcs, int32_t kind, int32_t index)
{
    drop_gone(ipcs);
    for (zt_ipc_object *object = ipcs->first; object; object = object->next)
        if (object->ipc.kind == kind && index-- == 0)
            return object;
    return NULL;
}

int32_t zt_ipc_count(zt_ipcs *ipcs, int32_t kind, uint64_t *ret_size)
{
    int32_t count = 0;
    drop_gone(ipcs);
    *ret_size = 0;
    for (zt_ipc_object *object = ipcs->first; object; object = object->next)
        if (object->ipc.kind == kind) {
            count++;
            *ret_size += object->ipc.size;
        }
    return count;
}

int32_t zt_ipc_real(zt_ipcs *ipcs, int32_t kind, int32_t vid)
{
    const zt_ipc_object *object = zt_ipc_find(ipcs, kind, vid);
    return object ? object->ipc.rid : -1;
}

int32_t zt_ipc_virtual(zt_ipcs *ipcs, int32_t kind, int32_t rid)
{
    drop_gone(ipcs);
    for (const zt_ipc_object *object = ipcs->first; object; object = object->next)
        if (object->ipc.kind == kind && object->ipc.rid == rid)
            return object->ipc.vid;
    return -1;
}

const zt_ipc *zt_ipc_next(zt_ipcs *ipcs, const zt_ipc *after)
{
    if (!after)
        drop_gone(ipcs);
    zt_ipc_object *object = after ? ((zt_ipc_object *)after)->next : ipcs->first;
    if (!object)
        return NULL;
    zt_ipc_ds ds;
    zt_ipc_look(object, &ds);
    if (object->ipc.kind == ZT_IPC_MSG)
        object->ipc.size = ds.msg.qbytes;
    zt_ipc_show(ipcs, object, &ds);
    object->ipc.mode = ds.perm.mode;
    object->ipc.uid = ds.perm.uid, object->ipc.gid = ds.perm.gid;
    zt_ipc_stamps(object->ipc.kind, &ds, object->ipc.stamps);
    return &object->ipc;
}

static bool is_pid(int32_t kind, int stamp)
{
    return (kind == ZT_IPC_SHM || kind == ZT_IPC_MSG) && stamp >= 3;
}

static int64_t shown(zt_ipcs *ipcs, const zt_ipc_object *object, int stamp, int64_t now)
{
    if (!(object->news & 1u << stamp) && now == object->base[stamp])
        return object->was[stamp];
    if (!is_pid(object->ipc.kind, stamp) || !ipcs->moved)
        return now;
    return zt_idtable_to_virtual(ipcs->moved, (zt_rpid){(int32_t)now}).n;
}

void zt_ipc_show(zt_ipcs *ipcs, const zt_ipc_object *object, zt_ipc_ds *ds)
{
    const int32_t kind = object->ipc.kind;
    int64_t stamps[ZT_IPC_STAMPS];
    const int count = zt_ipc_stamps(kind, ds, stamps);
    for (int i = 0; i < count; i++)
        stamps[i] = shown(ipcs, object, i, stamps[i]);
    ds->perm.key = object->ipc.key;
    ds->perm.cuid = object->ipc.cuid, ds->perm.cgid = object->ipc.cgid; /* for the kernel that is us */
    if (kind == ZT_IPC_SHM) {
        ds->shm.atime = stamps[0], ds->shm.dtime = stamps[1], ds->shm.ctime = stamps[2];
        ds->shm.lpid = (int32_t)stamps[3];
        ds->shm.cpid = object->ipc.creator;
        ds->shm.nattch -= object->held != NULL;
        if (!object->ipc.removed)
            ds->perm.mode &= ~(uint32_t)ZT_SHM_DEST;
    } else if (kind == ZT_IPC_SEM) {
        ds->sem.otime = stamps[0], ds->sem.ctime = stamps[1];
    } else {
        ds->msg.stime = stamps[0], ds->msg.rtime = stamps[1], ds->msg.ctime = stamps[2];
        ds->msg.lspid = (int32_t)stamps[3], ds->msg.lrpid = (int32_t)stamps[4];
    }
}
