/* Programs executed, and threads ended. */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "../ptrace/stub.h"
#include "loop.h"

static int release_vfork_maker(zt_pod *pod, zt_process *process, zt_err *err)
{
    zt_task *maker = process->vfork_maker;
    process->vfork_maker = NULL;
    if (!maker)
        return 0;
    return zt_loop_go_on(pod, maker, 0, err);
}

int zt_loop_executed(zt_pod *pod, zt_stop stop, zt_err *err)
{
    zt_stopped thread = {stop.rtid};
    zt_task *task = zt_pod_task(pod, stop.rtid);
    unsigned long former;
    zt_stop rest;
    if (zt_stopped_message(thread, &former, err))
        return -1;
    if ((int32_t)former != stop.rtid) {
        zt_task *caller = zt_pod_task(pod, (int32_t)former); /* now has the leader's numbers */
        if (!task && caller) {
            task = zt_pod_add_task(pod, caller->process, stop.rtid);
            zt_pod_set_vtid(pod, task, caller->process->vpid);
        }
        if (caller)
            zt_pod_remove_task(pod, caller);
    }
    if (!task)
        return zt_fail(err, ZT_ERR_STATE, 0, "thread %d executed a program but is not in the pod", stop.rtid);
    task->in_call = task->reissue.active = false;
    task->made = (zt_vpid){0};
    task->known = true;
    task->process->ready = false;
    if (zt_stopped_rest(thread, &rest, err))
        return -1;
    if (rest.kind == ZT_STOP_EXITED) {
        zt_loop_ended(pod, task, rest.value);
        return zt_fail(err, ZT_ERR_GONE, ESRCH, "process %d was killed", stop.rtid);
    }
    if (zt_stub_install(thread, &pod->host, pod->clock_offset_ns, err)) {
        if (err->kind != ZT_ERR_GONE) {
            /* Without a stub it could not be carried; end it as a failed execve would, late. */
            kill(task->process->rpid.n, SIGKILL);
            return zt_fail(err, ZT_ERR_GONE, ESRCH, "process %d was killed", stop.rtid);
        }
        return -1;
    }
    task->process->ready = true;
    task->group_stop = rest.kind == ZT_STOP_GROUP ? rest.value : 0;
    return release_vfork_maker(pod, task->process, err);
}

/* Children of ours that ended before they became ours: orphans that their parent never waited for. */
void zt_loop_reap_orphans(zt_pod *pod)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
            return;
        if (zt_pod_task(pod, info.si_pid) || !zt_idtable_to_virtual(&pod->ids, (zt_rpid){info.si_pid}).n)
            return; /* the loop will see it, or it is none of ours */
        waitpid(info.si_pid, NULL, WNOHANG);
    }
}

void zt_loop_ended(zt_pod *pod, zt_task *task, int wait_status)
{
    zt_process *process = task->process;
    zt_err ignored;
    if (task->rtid.n == pod->root.n) {
        pod->root_ended = true;
        pod->root_status = wait_status;
        atomic_store(&pod->woken, true); /* somebody waits for it */
    }
    if (process->threads == 1)
        release_vfork_maker(pod, process, &ignored); /* may be dying as well */
    zt_pod_remove_task(pod, task);
    zt_loop_adopt_forsaken(pod, &ignored);
    zt_loop_reap_orphans(pod);
}
