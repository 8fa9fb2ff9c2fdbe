/* System V shared memory: numbers and keys, and what shmctl tells. */
#include <sys/shm.h>

#include "control.h"

enum { STAT = 13, INFO = 14, STAT_ANY = 15 }; /* SHM_STAT ... */

zt_verdict zt_shmget_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const zt_ipc like = {.kind = ZT_IPC_SHM, .key = (int32_t)call->asked[0], .size = call->asked[1]};
    return zt_hook_answer(call, zt_ipc_get(pod, task, &like, (int32_t)call->asked[2]));
}

zt_verdict zt_shmat_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    return zt_ipc_issue(pod, call, ZT_IPC_SHM);
}

void zt_shmat_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { ATIME = 1 << 0, LPID = 1 << 3 };
    (void)task;
    if (call->answer > 0)
        zt_ipc_stamp(zt_ipc_asked(pod, call, ZT_IPC_SHM), ATIME | LPID);
}

zt_verdict zt_shmctl_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    return zt_ipc_control_enter(pod, call, ZT_IPC_SHM, 1, STAT, STAT_ANY);
}

void zt_shmctl_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    zt_ipc_control_exit(pod, task, call, ZT_IPC_SHM, 1, STAT, STAT_ANY);
    struct {
        int32_t used;
        uint64_t pages;
    } info; /* the head of struct shm_info */
    if (call->answer < 0 || ((int)call->asked[1] & ~ZT_IPC_OLD) != INFO ||
        !zt_hook_read(task, call->asked[2], &info, sizeof info))
        return;
    uint64_t bytes;
    info.used = zt_ipc_count(&pod->ipcs, ZT_IPC_SHM, &bytes);
    info.pages = (bytes + 4095) / 4096;
    zt_hook_write(task, call->asked[2], &info, sizeof info);
}
