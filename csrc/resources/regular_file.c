/* Files of O_TMPFILE that may get no name: opened with O_EXCL, or given one before. The kernel clears or never
 * sets I_LINKABLE then (fs/namei.c), and shows that to nobody.
 *
 * which file -> nothing. What was given a name and still has it is no matter of ours, nor is another kind of file. */

#include "../base/proc.h"
#include "../pod/socket_notes.h"
#include "resource.h"

static const char ROOM[] = "regular_file";

static void note(zt_pod *pod, const zt_task *task, zt_call *call, int fd)
{
    zt_proc_file file;
    _Static_assert(sizeof file == 24, "as in zaptrace/resources/common/never_named.py");
    if (zt_proc_fd_file(task->rtid.n, fd, &file))
        return;
    zt_hook_store(pod, call, ROOM, &file, sizeof file, NULL, 0);
    zt_socket_notes_tidy(pod);
}

static void opened(zt_pod *pod, const zt_task *task, zt_call *call)
{
    if (call->answer >= 0)
        note(pod, task, call, (int)call->answer);
}

void zt_open_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    opened(pod, task, call);
}

void zt_openat_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    opened(pod, task, call);
}

void zt_linkat_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    char path[PATH_MAX];
    uint64_t temporary;
    if (call->answer || zt_hook_path(task, call->asked[1], path) < 0)
        return;
    const int fd = path[0] ? zt_proc_fd_of(path) : (int)call->asked[0];
    if (zt_temporary_inode(task, fd, &temporary))
        note(pod, task, call, fd);
}
