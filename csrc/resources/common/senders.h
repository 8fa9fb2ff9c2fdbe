/* Senders that a pod is shown, of messages (SO_PASSCRED) and of signals (signalfd). In a pod that
 * moved they are translated, and the calls that tell or name them stop once somebody has asked. */
#pragma once
#include "../resource.h"

/* On the way into a call that asks: the pod stands still first, and gets the filter (ptrace/filter.h). */
static inline zt_verdict zt_senders_asked_for(zt_pod *pod, const zt_task *task)
{
    if (!pod->moved || pod->senders || task->process->vfork_in_kernel)
        return ZT_GO;
    pod->wants_senders = true;
    atomic_store(&pod->woken, true);
    return ZT_AGAIN;
}
