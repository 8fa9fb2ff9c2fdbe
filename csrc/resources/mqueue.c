/* How a process wants to be told of a message, mq_notify(3): its value shows nowhere. */
#include <signal.h>
#include <string.h>

#include "../base/proc.h"
#include "resource.h"

static const char ROOM[] = "mqueue";

void zt_mq_notify_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { EVENT = 16 }; /* value, signal and kind of a struct sigevent */
    struct {
        int32_t process;
        char name[PATH_MAX];
    } key = {.process = task->process->vpid.n};
    char event[EVENT];
    if (call->answer || !call->asked[1] ||
        zt_proc_fd_link(task->rtid.n, (int)call->asked[0], key.name, sizeof key.name) ||
        !zt_hook_read(task, call->asked[1], event, sizeof event))
        return;
    const uint32_t size = (uint32_t)(sizeof key.process + strlen(key.name));
    zt_hook_store(pod, call, ROOM, &key, size, event, sizeof event);
}
