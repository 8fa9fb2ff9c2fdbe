/* System V message queues: numbers and keys, and what msgctl tells. */
#include <sys/msg.h>

#include "control.h"

enum { STAT = 11, INFO = 12, STAT_ANY = 13 }; /* MSG_STAT ... */

zt_verdict zt_msgget_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const zt_ipc like = {.kind = ZT_IPC_MSG, .key = (int32_t)call->asked[0]};
    return zt_hook_answer(call, zt_ipc_get(pod, task, &like, (int32_t)call->asked[1]));
}

zt_verdict zt_msgsnd_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    return zt_ipc_issue(pod, call, ZT_IPC_MSG);
}

void zt_msgsnd_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { STIME = 1 << 0, LSPID = 1 << 3 };
    (void)task;
    if (!call->answer)
        zt_ipc_stamp(zt_ipc_asked(pod, call, ZT_IPC_MSG), STIME | LSPID);
}

zt_verdict zt_msgrcv_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    return zt_ipc_issue(pod, call, ZT_IPC_MSG);
}

void zt_msgrcv_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { RTIME = 1 << 1, LRPID = 1 << 4 };
    (void)task;
    if (call->answer >= 0 && !(call->asked[4] & MSG_COPY))
        zt_ipc_stamp(zt_ipc_asked(pod, call, ZT_IPC_MSG), RTIME | LRPID);
}

zt_verdict zt_msgctl_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    return zt_ipc_control_enter(pod, call, ZT_IPC_MSG, 1, STAT, STAT_ANY);
}

void zt_msgctl_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    zt_ipc_control_exit(pod, task, call, ZT_IPC_MSG, 1, STAT, STAT_ANY);
    struct msginfo info;
    if (call->answer < 0 || ((int)call->asked[1] & ~ZT_IPC_OLD) != INFO ||
        !zt_hook_read(task, call->asked[2], &info, sizeof info))
        return;
    info.msgpool = info.msgmap = info.msgtql = 0;
    zt_ipc_object *queue;
    while ((queue = zt_ipc_at(&pod->ipcs, ZT_IPC_MSG, info.msgpool))) {
        zt_ipc_ds ds;
        info.msgpool++;
        if (!zt_ipc_look(queue, &ds))
            continue;
        info.msgmap += (int)ds.msg.qnum;
        info.msgtql += (int)ds.msg.cbytes;
    }
    zt_hook_write(task, call->asked[2], &info, sizeof info);
}
