#include "control.h"

/* As ipcperms() of the kernel's ipc/util.c, for whoever has no capability. */
static bool may(const zt_ipc_object *object, int32_t flags, const zt_ipc *caller)
{
    zt_ipc_ds ds;
    if (!zt_ipc_look(object, &ds))
        return true;
    uint32_t granted = ds.perm.mode;
    if (caller->uid == ds.perm.uid || caller->uid == object->ipc.cuid)
        granted >>= 6;
    else if (caller->gid == ds.perm.gid || caller->gid == object->ipc.cgid)
        granted >>= 3;
    const uint32_t asked = (uint32_t)(flags >> 6 | flags >> 3 | flags);
    return !(asked & ~granted & 07) || !caller->uid;
}

int64_t zt_ipc_get(zt_pod *pod, const zt_task *task, const zt_ipc *like, int32_t flags)
{
    zt_ipc caller = *like;
    if (!zt_ipc_owner(task->rtid.n, &caller))
        return -ESRCH;
    caller.creator = task->process->vpid.n;
    const zt_ipc_object *object = zt_ipc_of_key(&pod->ipcs, like->kind, like->key);
    if (object) {
        if ((flags & IPC_CREAT) && (flags & IPC_EXCL))
            return -EEXIST;
        if (like->kind != ZT_IPC_MSG && like->size > object->ipc.size)
            return -EINVAL;
        return may(object, flags, &caller) ? object->ipc.vid : -EACCES;
    }
    if (like->key != IPC_PRIVATE && !(flags & IPC_CREAT))
        return -ENOENT;
    int error = 0;
    object = zt_ipc_create(&pod->ipcs, &caller, flags, &error);
    return object ? object->ipc.vid : -error;
}

zt_verdict zt_ipc_control_enter(zt_pod *pod, zt_call *call, int32_t kind, int command_at, int stat, int stat_any)
{
    enum { INDEX = 0x7fff };
    const int command = (int)call->asked[command_at] & ~ZT_IPC_OLD;
    if (command == ZT_IPC_INFO_OF_ALL || command == stat + 1) /* SHM_INFO and its like */
        return ZT_GO;
    if (command != stat && command != stat_any)
        return zt_ipc_issue(pod, call, kind);
    const zt_ipc_object *object = zt_ipc_at(&pod->ipcs, kind, (int32_t)call->asked[0]);
    if (!object)
        return zt_hook_answer(call, -EINVAL);
    call->issued[0] = (uint32_t)object->ipc.rid & (command == stat_any ? INDEX : UINT32_MAX);
    if (command == stat)
        call->issued[command_at] = (call->asked[command_at] & ZT_IPC_OLD) | IPC_STAT;
    return ZT_GO;
}

static void show(zt_pod *pod, const zt_task *task, const zt_ipc_object *object, uint64_t address)
{
    zt_ipc_ds ds;
    const size_t size = zt_ipc_ds_size(object->ipc.kind);
    if (!zt_hook_read(task, address, &ds, size))
        return;
    zt_ipc_show(&pod->ipcs, object, &ds);
    zt_hook_write(task, address, &ds, size);
}

void zt_ipc_control_exit(zt_pod *pod, const zt_task *task, zt_call *call, int32_t kind, int command_at, int stat,
                         int stat_any)
{
    const int command = (int)call->asked[command_at] & ~ZT_IPC_OLD;
    const uint64_t address = call->asked[command_at + 1];
    if (call->answer < 0)
        return;
    if (command == stat || command == stat_any) {
        const zt_ipc_object *object = zt_ipc_at(&pod->ipcs, kind, (int32_t)call->asked[0]);
        if (!object)
            return;
        show(pod, task, object, address);
        call->answer = object->ipc.vid;
    } else if (command == ZT_IPC_INFO_OF_ALL || command == stat + 1) {
        uint64_t size;
        const int32_t count = zt_ipc_count(&pod->ipcs, kind, &size);
        call->answer = count ? count - 1 : 0;
    } else {
        zt_ipc_object *object = zt_ipc_asked(pod, call, kind);
        if (object && command == IPC_STAT)
            show(pod, task, object, address);
        else if (object && command == IPC_RMID)
            zt_ipc_removed(&pod->ipcs, object);
        else if (object && command == IPC_SET)
            zt_ipc_stamp(object, kind == ZT_IPC_SEM ? 1u << 1 : 1u << 2);
    }
}
