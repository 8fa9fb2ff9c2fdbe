/* Only that somebody has given memory a policy: which, the kernel tells for one address at a time. */
#include "resource.h"

static const char ROOM[] = "memory", KEY[] = "policy";

void zt_mbind_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    if (!call->answer)
        zt_hook_store(pod, call, ROOM, KEY, sizeof KEY - 1, KEY, sizeof KEY - 1);
}
