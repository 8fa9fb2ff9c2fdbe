/* Connections that were accepted to be looked at, and wait for the pod to accept them: unix sockets'. The pod's next
 * accept(2) at that listener is answered with the first of them, for which the pod stands still
 * (zaptrace/pod/keeping.py). */
#pragma once
#include "../../pod/socket_notes.h"
#include "../resource.h"

static inline bool zt_kept_waits(const zt_pod *pod, const zt_task *task, const zt_call *call)
{
    uint64_t inode;
    return pod->kept.used && zt_socket_inode(task, (int)call->asked[0], &inode) &&
           zt_intmap_get(&pod->kept, (int32_t)inode);
}

/* A child of vfork(2) cannot stand still: to it, the client has given up. */
static inline zt_verdict zt_kept_asked_for(zt_pod *pod, const zt_task *task, zt_call *call)
{
    if (task->process->vfork_in_kernel)
        return zt_hook_answer(call, -ECONNABORTED);
    pod->wants_kept = task->rtid.n;
    atomic_store(&pod->woken, true);
    return ZT_AGAIN;
}
