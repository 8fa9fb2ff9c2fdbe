/* A sandbox of files and ports that a thread put on itself. It is the thread's for good, and that of
 * everything it makes; nobody can ask the kernel whether there is one. */
#include "resource.h"

void zt_landlock_restrict_self_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { TSYNC = 1 << 3 }; /* for all threads of the process; LANDLOCK_RESTRICT_SELF_TSYNC */
    if (call->answer)
        return;
    for (zt_task *other = pod->tasks; other; other = other->next)
        if (other == task || (call->asked[1] & TSYNC && other->process == task->process))
            other->landlocked = true;
}
