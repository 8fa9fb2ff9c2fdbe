/* System V objects outlive processes and are seen by all of the host: stored by what they are, with
 * who last used one, so that a checkpoint can say that it does not carry them (the private view of
 * them is another issue). */
#include <string.h>

#include "resource.h"

static void store(zt_pod *pod, const zt_task *task, zt_call *call, const char *what)
{
    const int32_t user = task->process->vpid.n;
    if (call->answer >= 0)
        zt_hook_store(pod, call, "sysv_ipc", what, (uint32_t)strlen(what), &user, sizeof user);
}

void zt_semget_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    store(pod, task, call, "semaphore set");
}

void zt_msgget_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    store(pod, task, call, "message queue");
}

void zt_shmget_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    store(pod, task, call, "shared memory segment");
}
