/* What the calls of all three kinds of System V objects have in common. */
#pragma once
#include <sys/ipc.h>

#include "../../pod/ipc/ipc.h"
#include "../resource.h"

enum { ZT_IPC_INFO_OF_ALL = 3, ZT_IPC_OLD = 0x100 }; /* IPC_INFO, IPC_64 */

/* shmget and its like: the object with this key, or a new one. */
int64_t zt_ipc_get(zt_pod *pod, const zt_task *task, const zt_ipc *like, int32_t flags);

/* *ctl, by what they have in common. *command is without IPC_64.
 * On the way in: the object's own number is issued; `stat` and `stat_any` name one by its place.
 * On the way out: what the kernel told of it is corrected, at `address`. */
zt_verdict zt_ipc_control_enter(zt_pod *pod, zt_call *call, int32_t kind, int command_at, int stat, int stat_any);
void zt_ipc_control_exit(zt_pod *pod, const zt_task *task, zt_call *call, int32_t kind, int command_at, int stat,
                         int stat_any);

/* The object that a call named by its first argument, when it had this number; NULL: there is none. */
static inline zt_ipc_object *zt_ipc_asked(zt_pod *pod, const zt_call *call, int32_t kind)
{
    return zt_ipc_find(&pod->ipcs, kind, (int32_t)call->asked[0]);
}

/* The first argument is an object's number: the kernel's is issued. */
static inline zt_verdict zt_ipc_issue(zt_pod *pod, zt_call *call, int32_t kind)
{
    const zt_ipc_object *object = zt_ipc_asked(pod, call, kind);
    if (!object)
        return zt_hook_answer(call, -EINVAL);
    call->issued[0] = (uint32_t)object->ipc.rid;
    return ZT_GO;
}

/* A stamp is a program's doing from now on. */
static inline void zt_ipc_stamp(zt_ipc_object *object, uint32_t stamps)
{
    if (object)
        object->news |= stamps;
}
