/* System V objects outlive processes and are seen by all of the host: noted, so that a checkpoint
 * can say that it does not carry them (the private view of them is another issue). */
#include <stdio.h>

#include "resource.h"

static void note(zt_pod *pod, const zt_task *task, const zt_call *call, const char *what)
{
    char text[96];
    if (call->answer < 0)
        return;
    snprintf(text, sizeof text, "sysv_ipc: process %d uses a System V %s", task->process->vpid.n, what);
    zt_pod_add_note(pod, text);
}

void zt_semget_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    note(pod, task, call, "semaphore set");
}

void zt_msgget_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    note(pod, task, call, "message queue");
}

void zt_shmget_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    note(pod, task, call, "shared memory segment");
}
