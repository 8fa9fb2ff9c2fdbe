#include "ends.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../pod/awaited.h"
#include "../pod/cpu_level.h"
#include "../pod/members.h"
#include "../pod/past.h"
#include "../pod/pi.h"
#include "../pod/seccomp.h"
#include "../ptrace/closed.h"
#include "../ptrace/stub.h"

zt_task *zt_loop_free_maker(zt_task *task)
{
    zt_task *maker = task->vfork_maker;
    task->vfork_maker = NULL;
    task->process->vfork_in_kernel = false;
    if (maker)
        maker->awaits_child = false;
    return maker;
}

/* A thread that executes a program takes the number of its process; its own is no more. */
static zt_task *task_of_program(zt_pod *pod, int32_t rtid, int32_t former)
{
    zt_task *task = zt_pod_task(pod, rtid);
    if (former == rtid)
        return task;
    zt_task *caller = zt_pod_task(pod, former);
    if (!task && caller) {
        task = zt_pod_add_task(pod, caller->process, rtid);
        zt_pod_set_vtid(pod, task, caller->process->vpid);
    }
    if (task && caller) {
        task->landlocked = caller->landlocked;
        zt_seccomp_inherit(task, caller);
        zt_past_take(task, caller);
    }
    if (caller)
        zt_pod_remove_task(pod, caller);
    return task;
}

/* In a frozen pod it is brought to rest; in one that runs, that costs a stop, and is left out. */
static int make_fit(zt_pod *pod, zt_task *task, zt_stop *ret, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    bool rests = pod->freezing || task->awaits_freeze || pod->cpu_level;
    task->process->dumpable = 1;
    if (zt_closed_is(thread)) {
        rests = true; /* it may be found stopped */
        if (zt_stopped_rest(thread, ret, err))
            return -1;
        if (pod->notified) /* the looker answers what it does there */
            zt_pod_pause(pod);
        const int failed =
            ret->kind != ZT_STOP_EXITED && zt_closed_open(thread, &task->process->dumpable, ret, err) ? -1 : 0;
        if (pod->notified)
            zt_pod_go_on(pod);
        if (failed)
            return -1;
        if (ret->kind == ZT_STOP_EXITED)
            return zt_stop_fail_ended(*ret, err);
    }
    if (zt_stub_install(thread, &pod->host, pod->clock_offset_ns, rests, ret, err))
        return -1;
    return zt_cpu_level_begin(pod, task, err);
}

int zt_loop_executed(zt_pod *pod, zt_stop stop, zt_task **ret_task, zt_stop *ret_stop, zt_task **ret_freed, zt_err *err)
{
    zt_stopped thread = {stop.rtid};
    unsigned long former;
    *ret_freed = NULL;
    if (zt_stopped_message(thread, &former, err))
        return -1;
    if (zt_pod_task(pod, (int32_t)former))
        zt_pi_owner_gone(pod, zt_pod_task(pod, (int32_t)former));
    zt_task *task = *ret_task = task_of_program(pod, stop.rtid, (int32_t)former);
    if (!task)
        return zt_fail(err, ZT_ERR_STATE, 0, "thread %d executed a program but is not in the pod", stop.rtid);
    task->in_call = task->reissue.active = false;
    task->taken = ZT_TAKEN_NOT;
    task->loose = false; /* a freeze may have come to know its first thread as one that has ended */
    task->made = (zt_vpid){0};
    task->known = true;
    task->process->ready = false;
    if (make_fit(pod, task, ret_stop, err)) {
        if (err->kind == ZT_ERR_GONE && err->ended_rtid == stop.rtid) {
            *ret_stop = zt_stop_of(stop.rtid, err->wait_status);
            return 0;
        }
        if (err->kind == ZT_ERR_GONE)
            return -1;
        /* Without a stub it could not be carried; end it as a failed execve would, late. */
        zt_err why = *err;
        kill(task->process->rpid.n, SIGKILL);
        return zt_fail(err, ZT_ERR_UNFIT, why.os_errno, "process %d was ended: its program cannot be in a pod: %s",
                       task->process->vpid.n, why.text);
    }
    task->process->ready = true;
    zt_pod_has_executed(pod, task);
    task->process->whole = pod->freezing; /* else it may run before we need it */
    task->group_stop = ret_stop->kind == ZT_STOP_GROUP ? ret_stop->value : 0;
    *ret_freed = zt_loop_free_maker(task);
    return 0;
}

/* Who waits for us: the first thing that the kernel tells of may be the stop of a thread of ours. */
static bool something_waits(void)
{
    siginfo_t info = {0};
    return !waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) && info.si_pid;
}

/* Orphans that their parent never waited for. They are children of our first thread. */
void zt_loop_reap_inherited(zt_pod *pod)
{
    char name[64];
    int rpid;
    if (pod->notified)
        zt_members_reap(pod);
    if (pod->notified || !something_waits())
        return;
    snprintf(name, sizeof name, "task/%d/children", getpid());
    FILE *children = zt_proc_open(ZT_PROC_SELF, name);
    while (children && fscanf(children, "%d", &rpid) == 1)
        if (!zt_pod_task(pod, rpid) && zt_idtable_to_virtual(&pod->ids, (zt_rpid){rpid}).n)
            waitpid(rpid, NULL, WNOHANG); /* the loop sees the end of a task, and the rest is none of ours */
    if (children)
        fclose(children);
}

void zt_loop_tell_end(zt_pod *pod, int32_t rtid, int wait_status)
{
    if (rtid == pod->root.n) {
        pod->root_ended = true;
        pod->root_status = wait_status;
        atomic_store(&pod->woken, true); /* somebody waits for it */
    }
    zt_awaited_tell(&pod->awaited, rtid, wait_status);
}

void zt_loop_ended(zt_pod *pod, zt_task *task, int wait_status, zt_task **ret_freed)
{
    *ret_freed = zt_loop_free_maker(task);
    zt_loop_tell_end(pod, task->rtid.n, wait_status);
    zt_pod_remove_task(pod, task);
}
