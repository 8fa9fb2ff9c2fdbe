/* How a process wants to be told of a message, mq_notify(3): its value shows nowhere, nor do the bytes that
 * the kernel is to send through a netlink socket, by which the C library learns that it is to start a thread. */
#include <signal.h>
#include <string.h>

#include "../base/proc.h"
#include "resource.h"

static const char ROOM[] = "mqueue";

void zt_mq_notify_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { EVENT = 16, COOKIE = 32 }; /* value, signal and kind of a struct sigevent; NOTIFY_COOKIE_LEN */
    struct {
        int32_t process;
        char name[PATH_MAX];
    } key = {.process = task->process->vpid.n};
    struct {
        uint64_t value;
        int32_t signal, kind;
        char cookie[COOKIE];
    } event;
    if (call->answer || !call->asked[1] ||
        zt_proc_fd_link(task->rtid.n, (int)call->asked[0], key.name, sizeof key.name) ||
        !zt_hook_read(task, call->asked[1], &event, EVENT))
        return;
    const bool thread = event.kind == SIGEV_THREAD;
    if (thread && !zt_hook_read(task, event.value, event.cookie, COOKIE))
        return;
    const uint32_t size = (uint32_t)(sizeof key.process + strlen(key.name));
    zt_hook_store(pod, call, ROOM, &key, size, &event, EVENT + (thread ? COOKIE : 0));
}
