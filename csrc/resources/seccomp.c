/* seccomp(2): filters of a program's own; pod/seccomp.h. PR_SET_SECCOMP is with prctl(2), in process.c. */
#include "../pod/seccomp.h"

#include <linux/seccomp.h>

#include "resource.h"

zt_verdict zt_seccomp_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    if ((uint32_t)call->asked[0] == SECCOMP_SET_MODE_FILTER)
        return zt_seccomp_filter(pod, task, call, 2, call->asked[1]);
    if ((uint32_t)call->asked[1] || call->asked[2])
        return zt_hook_answer(call, -EINVAL);
    call->issued[0] = SECCOMP_SET_MODE_FILTER;
    return zt_seccomp_strict(pod, task, call, 2);
}

void zt_seccomp_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    zt_seccomp_noted(pod, task, call);
}
