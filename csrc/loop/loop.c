/* One stop at a time: what it means, and how the thread goes on. */
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "../pod/blocked/blocked.h"
#include "../pod/robust.h"
#include "../pod/settle.h"

/* --- going on */

/* Any stop takes a pending interrupt with it (kernel/signal.c, ptrace_stop), so a thread that is to
 * come to rest has to be interrupted anew each time. */
int zt_loop_go_on(zt_pod *pod, zt_task *task, int signal, zt_err *err)
{
    if (zt_loop_shall_rest(pod, task) && zt_interrupt(task->rtid.n, err))
        return -1;
    bool watch = task->in_call || task->made.n || task->reissue.active;
    task->state = ZT_TASK_RUNNING;
    return zt_stopped_resume(zt_task_stopped(task), watch ? ZT_TO_CALL : ZT_TO_EVENT, signal, err);
}

int zt_loop_at_rest(zt_pod *pod, zt_task *task, int group_stop, zt_err *err)
{
    task->group_stop = group_stop;
    if (!task->known) {
        task->state = ZT_TASK_NEWBORN;
        return 0;
    }
    if (zt_blocked_at_rest(pod, task, err))
        return -1;
    if (zt_loop_shall_rest(pod, task)) {
        if (zt_settle(task, err))
            return -1;
        task->state = ZT_TASK_REST;
        return 0;
    }
    if (group_stop) {
        task->state = ZT_TASK_LISTENING;
        return zt_stopped_resume(zt_task_stopped(task), ZT_TO_LISTEN, 0, err);
    }
    return zt_loop_go_on(pod, task, 0, err);
}

/* --- signals */

static int on_signal(zt_pod *pod, zt_task *task, int signal, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    siginfo_t info;
    if (zt_stopped_get_siginfo(thread, &info, err))
        return -1;
    if (zt_pod_virtual_sender(pod, &info) && zt_stopped_set_siginfo(thread, &info, err))
        return -1;
    if (zt_blocked_at_signal(task, signal, err))
        return -1;
    return zt_loop_go_on(pod, task, signal, err);
}

/* --- the stops */

static int dispatch(zt_pod *pod, zt_task *task, zt_stop stop, zt_err *err)
{
    switch (stop.kind) {
    case ZT_STOP_EXITED:
        zt_loop_ended(pod, task, stop.value);
        return 0;
    case ZT_STOP_REST:
        return zt_loop_at_rest(pod, task, 0, err);
    case ZT_STOP_GROUP:
        return zt_loop_at_rest(pod, task, stop.value, err);
    case ZT_STOP_SECCOMP:
        return zt_loop_enter(pod, task, err);
    case ZT_STOP_CALL:
        return zt_loop_call(pod, task, err);
    case ZT_STOP_FORK:
        if (zt_loop_forked(pod, task, false, err))
            return -1;
        return zt_loop_go_on(pod, task, 0, err);
    case ZT_STOP_VFORK:
        if (zt_loop_forked(pod, task, true, err))
            return -1;
        task->state = ZT_TASK_VFORK;
        return 0;
    case ZT_STOP_EXEC:
        if (zt_loop_executed(pod, stop, err))
            return -1;
        task = zt_pod_task(pod, stop.rtid);
        return zt_loop_at_rest(pod, task, task->group_stop, err);
    case ZT_STOP_ENDING:
        zt_robust_hand_over(task);
        return zt_loop_go_on(pod, task, 0, err);
    case ZT_STOP_SIGNAL:
        return on_signal(pod, task, stop.value, err);
    case ZT_STOP_OTHER:
        return zt_loop_go_on(pod, task, 0, err);
    }
    return 0;
}

int zt_loop_dispatch(zt_pod *pod, zt_stop stop, zt_err *err)
{
    zt_task *task = zt_pod_task(pod, stop.rtid);
    if (!task && stop.kind == ZT_STOP_EXITED) {
        zt_intmap_remove(&pod->early, stop.rtid);
        return 0;
    }
    int failed = dispatch(pod, task, stop, err);
    return failed && err->kind == ZT_ERR_GONE ? 0 : failed;
}

int zt_loop_step(zt_pod *pod, int options, zt_err *err)
{
    int status;
    pid_t rtid = waitpid(-1, &status, __WALL | __WNOTHREAD | options);
    if (rtid == 0 || (rtid < 0 && (errno == EINTR || errno == ECHILD)))
        return 0;
    if (rtid < 0)
        return zt_fail_os(err, "waitpid");
    zt_stop stop = zt_stop_of(rtid, status);
    if (!zt_pod_task(pod, rtid) && stop.kind != ZT_STOP_EXITED && stop.kind != ZT_STOP_EXEC) {
        zt_intmap_put(&pod->early, rtid, (uintptr_t)status + 1);
        return 1;
    }
    return zt_loop_dispatch(pod, stop, err) ? -1 : 1;
}

int zt_loop_run(zt_pod *pod, zt_err *err)
{
    while (pod->task_count) {
        if (atomic_exchange(&pod->woken, false))
            return 1;
        if (pod->freezing) { /* nothing runs; only deaths can come, and they can wait */
            const struct timespec nap = {0, 5000000};
            while (zt_loop_step(pod, WNOHANG, err) > 0)
                ;
            if (pod->task_count)
                nanosleep(&nap, NULL);
            continue;
        }
        if (zt_loop_step(pod, 0, err) < 0)
            return -1;
    }
    return 0;
}
