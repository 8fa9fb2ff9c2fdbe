/* CPUID faulting, arch_prctl(2): in a pod with a level it is ours. */
#include "resource.h"

zt_verdict zt_arch_prctl_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    if (!pod->cpu_level)
        return ZT_GO;
    return zt_hook_answer(call, call->asked[0] == ZT_ARCH_GET_CPUID ? 1 : -ENODEV);
}
