/* Ids in what a pidfd tells of its process. */
#include <string.h>

#include "../base/proc.h"
#include "resource.h"

static bool is_pidfd(const zt_task *task, int fd)
{
    char target[40];
    return !zt_proc_fd_link(task->rtid.n, fd, target, sizeof target) && strcmp(target, "anon_inode:[pidfd]") == 0;
}

/* PIDFD_GET_INFO (Linux 6.13); of a process that was waited for it tells no ids. */
void zt_ioctl_pidfd_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { HAS_IDS = 1 };
    struct {
        uint64_t mask, cgroup;
        int32_t pid, tgid, ppid;
    } info; /* the head of struct pidfd_info */
    if (call->answer || !is_pidfd(task, (int)call->asked[0]) ||
        !zt_hook_read(task, call->asked[2], &info, sizeof info) || !(info.mask & HAS_IDS))
        return;
    info.pid = zt_pod_virtual(pod, info.pid).n;
    info.tgid = zt_pod_virtual(pod, info.tgid).n;
    const int32_t parent = zt_pod_virtual(pod, info.ppid).n;
    info.ppid = parent || !info.ppid ? parent : 1; /* whoever is outside looks like init */
    zt_hook_write(task, call->asked[2], &info, sizeof info);
}
