/* Foreground group and session of a terminal. */
#include <sys/ioctl.h>
#include <termios.h>

#include "resource.h"

zt_verdict zt_ioctl_tty_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    int32_t group;
    if (call->asked[1] != TIOCSPGRP)
        return ZT_GO;
    if (!zt_hook_read(task, call->asked[2], &group, sizeof group) || group <= 0)
        return ZT_GO;
    group = zt_pod_real(pod, group).n;
    if (!group)
        return zt_hook_answer(call, -ESRCH);
    call->issued[2] = zt_task_scratch(task);
    if (!zt_hook_write(task, call->issued[2], &group, sizeof group))
        return zt_hook_answer(call, -EFAULT);
    return ZT_GO;
}

void zt_ioctl_tty_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    int32_t id;
    if (call->answer || call->asked[1] == TIOCSPGRP || !zt_hook_read(task, call->asked[2], &id, sizeof id))
        return;
    id = zt_pod_virtual(pod, id).n;
    zt_hook_write(task, call->asked[2], &id, sizeof id);
}
