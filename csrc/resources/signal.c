/* Sending signals within the pod, and who sent the one that was waited for. */
#include <signal.h>
#include <string.h>

#include "resource.h"

/* kill(-1): everything of the pod but the caller; nothing of the rest of the host. */
static int64_t kill_all_others(zt_pod *pod, const zt_task *sender, int signal)
{
    int64_t answer = -ESRCH;
    for (const zt_task *task = pod->tasks; task; task = task->next) {
        if (task->process == sender->process || task->rtid.n != task->process->rpid.n)
            continue;
        if (kill(task->process->rpid.n, signal) == 0)
            answer = 0;
        else if (answer)
            answer = -errno;
    }
    return answer;
}

zt_verdict zt_kill_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    int32_t whom = (int32_t)call->asked[0];
    if (whom == 0)
        return ZT_GO;
    if (whom == -1)
        return zt_hook_answer(call, kill_all_others(pod, task, (int)call->asked[1]));
    if (whom == 1) /* the supervisor is nobody's to end, as init is not */
        return zt_hook_answer(call, call->asked[1] ? -EPERM : 0);
    zt_rpid real = zt_pod_real(pod, whom > 0 ? whom : -whom);
    if (!real.n)
        return zt_hook_answer(call, -ESRCH);
    call->issued[0] = (uint64_t)(int64_t)(whom > 0 ? real.n : -real.n);
    return ZT_GO;
}

void zt_rt_sigtimedwait_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    const uint64_t address = call->asked[1];
    siginfo_t info;
    if (call->answer <= 0 || !address || !zt_hook_read(task, address, &info, sizeof info))
        return;
    if (zt_pod_virtual_sender(pod, &info))
        zt_hook_write(task, address, &info, sizeof info);
}
