/* One stop at a time: what it means, who handles it, and how the thread goes on. */
#include "loop.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../pod/blocked/blocked.h"
#include "../pod/blocked/signals.h"
#include "../pod/blocked/woken.h"
#include "../pod/cpu_level.h"
#include "../pod/past.h"
#include "../pod/pi.h"
#include "../pod/robust.h"
#include "../pod/safepoint.h"
#include "../pod/seccomp.h"
#include "../pod/vsyscall.h"
#include "attach.h"
#include "births.h"
#include "calls.h"
#include "ends.h"
#include "follow.h"

/* --- going on */

/* Any stop takes a pending interrupt with it (kernel/signal.c, ptrace_stop), so a thread that is to
 * come to rest has to be interrupted anew each time. */
static int run(zt_pod *pod, zt_task *task, int signal, zt_err *err)
{
    if ((zt_pod_shall_rest(pod, task) || task->woken) && zt_interrupt(task->rtid.n, err))
        return -1;
    if (zt_woken_before_run(pod, task, err))
        return -1;
    bool watch = task->in_call || task->made.n || task->reissue.active;
    if (pod->detaches && !zt_task_is_plain(pod, task)) {
        pod->wants_all = true; /* what it is its children are, and nobody would tell of them */
        atomic_store(&pod->woken, true);
    }
    if (zt_loop_may_leave(pod, task))
        return zt_loop_leave(pod, task, signal, err);
    task->state = ZT_TASK_RUNNING;
    return zt_stopped_resume(zt_task_stopped(task), watch ? ZT_TO_CALL : ZT_TO_EVENT, signal, err);
}

/* The death of one thread must not keep another from what is due to it. */
static int unless_gone(int failed, const zt_err *err)
{
    return failed && err->kind != ZT_ERR_GONE ? -1 : 0;
}

int zt_loop_at_rest(zt_pod *pod, zt_task *task, int group_stop, zt_err *err)
{
    task->group_stop = group_stop;
    if (!task->known) {
        task->state = ZT_TASK_NEWBORN;
        return 0;
    }
    if (task->taken && zt_loop_taken_rests(pod, task, err))
        return -1;
    const bool newborn = task->newborn;
    task->newborn = false;
    if (!newborn && zt_blocked_at_rest(pod, task, err))
        return -1;
    if (zt_pod_shall_rest(pod, task)) {
        task->state = ZT_TASK_REST; /* also when this fails: then the freeze does, and it is thawed */
        return zt_pod_to_safe_point(task, err);
    }
    if (task->awaits_child) {
        task->state = ZT_TASK_REST; /* it was frozen while it waits, and does */
        return 0;
    }
    if (group_stop && zt_loop_may_leave(pod, task))
        return zt_loop_leave(pod, task, 0, err);
    if (group_stop) {
        task->state = ZT_TASK_LISTENING;
        return zt_stopped_resume(zt_task_stopped(task), ZT_TO_LISTEN, 0, err);
    }
    return run(pod, task, 0, err);
}

/* --- births and ends, and what follows from them for others */

int zt_loop_on_fork(zt_pod *pod, zt_task *maker, bool vfork, bool *ret_hold, zt_err *err)
{
    zt_stop child;
    zt_onward onward;
    if (zt_loop_forked(pod, maker, vfork, &child, &onward, err))
        return -1;
    if (child.rtid && zt_loop_dispatch(pod, child, err))
        return -1;
    *ret_hold = onward == ZT_ONWARD_HOLD; /* if the child has ended already, then the maker was let go */
    if (maker->state == ZT_TASK_VFORK && !vfork && zt_pod_shall_rest(pod, maker))
        *ret_hold = false; /* its call was under way when the freeze began; the child rests, and so does it */
    return 0;
}

static int let_go(zt_pod *pod, zt_task *maker, zt_err *err)
{
    if (maker && maker->state == ZT_TASK_VFORK)
        return unless_gone(run(pod, maker, 0, err), err);
    if (maker && maker->state == ZT_TASK_REST && !pod->freezing)
        return unless_gone(zt_loop_at_rest(pod, maker, maker->group_stop, err), err);
    return 0;
}

int zt_loop_rest_makers(zt_pod *pod, zt_err *err)
{
    for (zt_task *child = pod->tasks; child; child = child->next) {
        zt_task *maker = child->vfork_maker;
        bool held = maker && maker->state == ZT_TASK_VFORK && !child->process->vfork_in_kernel;
        if (held && unless_gone(run(pod, maker, 0, err), err))
            return -1;
    }
    return 0;
}

/* Those of whom nobody will tell. */
static int adopt_orphans(zt_pod *pod, zt_err *err)
{
    zt_stop child;
    int failed = 0;
    while (!failed && zt_loop_adopt_orphan(pod, &child))
        failed = zt_loop_dispatch(pod, child, err);
    return failed;
}

int zt_loop_on_end(zt_pod *pod, zt_task *task, int wait_status, zt_err *err)
{
    zt_task *freed;
    const zt_process *process = task->process;
    const bool leaves = process->threads == 1 && (process->may_leave_children || pod->may_have_siblings);
    zt_loop_ended(pod, task, wait_status, &freed);
    int failed = let_go(pod, freed, err);
    if (!failed)
        failed = adopt_orphans(pod, err);
    if (leaves)
        zt_loop_reap_inherited(pod);
    return failed;
}

int zt_loop_take_end(zt_pod *pod, zt_err *err)
{
    zt_task *task = err->kind == ZT_ERR_GONE && err->ended_rtid ? zt_pod_task(pod, err->ended_rtid) : NULL;
    zt_err also;
    if (!task || !zt_loop_on_end(pod, task, err->wait_status, &also))
        return 0;
    *err = pod->broken = also;
    return -1;
}

int zt_loop_on_exec(zt_pod *pod, zt_stop stop, zt_task **ret_task, bool *ret_rests, zt_err *err)
{
    zt_task *freed;
    zt_stop now;
    if (zt_loop_executed(pod, stop, ret_task, &now, &freed, err))
        return -1;
    *ret_rests = now.kind == ZT_STOP_REST || now.kind == ZT_STOP_GROUP;
    if (now.kind != ZT_STOP_EXITED)
        return let_go(pod, freed, err);
    zt_task *ended = *ret_task;
    *ret_task = NULL;
    return zt_loop_on_end(pod, ended, now.value, err);
}

/* An end is told to us first, and to its parent when we have heard of it. A pidfd is readable before
 * that (kernel/exit.c, exit_notify), so a parent that asks without waiting would not find its child.
 * Mostly there is nothing to be told; else a stop may lie in front of an end. */
static bool peek(idtype_t which, int32_t rtid, siginfo_t *ret)
{
    *ret = (siginfo_t){0};
    return !waitid(which, (id_t)rtid, ret, WEXITED | WNOHANG | WNOWAIT | __WALL | __WNOTHREAD) && ret->si_pid;
}

static bool is_end(const siginfo_t *info)
{
    return info->si_code == CLD_EXITED || info->si_code == CLD_KILLED || info->si_code == CLD_DUMPED;
}

/* A process of the pod that has ended, as we are about to be told. 0: there is none. */
static int32_t next_end(const zt_pod *pod)
{
    siginfo_t info;
    if (!peek(P_ALL, 0, &info))
        return 0;
    if (is_end(&info) && zt_pod_task((zt_pod *)pod, info.si_pid))
        return info.si_pid;
    for (const zt_task *task = pod->tasks; task; task = task->next)
        if (task->rtid.n == task->process->rpid.n && peek(P_PID, task->rtid.n, &info) && is_end(&info))
            return task->rtid.n;
    return 0;
}

static int take_ends(zt_pod *pod, zt_err *err)
{
    int32_t rtid;
    zt_stop end;
    while ((rtid = next_end(pod)))
        if (zt_stop_wait(rtid, &end, err) || zt_loop_dispatch(pod, end, err))
            return -1;
    return 0;
}

/* --- signals */

static int on_signal(zt_pod *pod, zt_task *task, zt_stop stop, zt_err *err)
{
    const int signal = stop.value;
    zt_stopped thread = zt_task_stopped(task);
    siginfo_t info;
    zt_regs regs;
    bool answered = false;
    if (task->ends_alone)
        return zt_seccomp_end_alone(task, err) ? -1 : run(pod, task, 0, err);
    if (zt_stopped_get_siginfo(thread, &info, err))
        return -1;
    if (signal == SIGSEGV && (zt_cpu_level_answer(pod, task, &info, &answered, err) ||
                              (!answered && zt_vsyscall_answer(pod, task, &info, &answered, err))))
        return -1;
    if (answered)
        return run(pod, task, 0, err);
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    zt_woken_by(pod, task, &info);
    if (zt_pod_is_kept_out(pod, &info)) {
        const uint64_t one = 1;
        if (zt_blocked_at_signal(pod, task, 0, &regs, err))
            return -1;
        if (write(pod->kept_out_fd, &one, sizeof one) < 0)
            zt_pod_tell(pod, "a signal that is kept out of the pod could not be told of");
        return run(pod, task, 0, err);
    }
    if (zt_pod_virtual_sender(pod, &info) && zt_stopped_set_siginfo(thread, &info, err))
        return -1;
    if (zt_blocked_at_signal(pod, task, signal, &regs, err))
        return -1;
    if (zt_past_is_used_up(task, &info))
        kill(task->process->rpid.n, SIGKILL);
    if (!zt_stop_is_fault(stop) && zt_pod_signal_behind_vdso(task, &regs, &info, err))
        return -1;
    return run(pod, task, signal, err);
}

/* --- the stops */

/* A maker is about to go on. The kernel tells of a process that we launched before all others: one that makes
 * threads over and over would keep us from seeing them end. So two others come in between, if they wait. */
static int let_others_catch_up(zt_pod *pod, zt_err *err)
{
    if (pod->catching_up)
        return 0;
    pod->catching_up = true;
    int took = 1;
    for (int i = 0; i < 2 && took > 0; i++)
        took = zt_loop_step(pod, WNOHANG, err);
    pod->catching_up = false;
    return took < 0 ? -1 : 0;
}

static int handle(zt_pod *pod, zt_task *task, zt_stop stop, zt_err *err)
{
    zt_onward onward;
    bool hold, rests;
    zt_counts_stop(&pod->counts, stop);
    if (task)
        task->hears = false;
    if (task && task->late.active && stop.kind != ZT_STOP_EXITED)
        return zt_loop_on_late(pod, task, stop, err);
    switch (stop.kind) {
    case ZT_STOP_EXITED:
        return zt_loop_on_end(pod, task, stop.value, err);
    case ZT_STOP_REST:
        return zt_loop_at_rest(pod, task, 0, err);
    case ZT_STOP_GROUP:
        return zt_loop_at_rest(pod, task, stop.value, err);
    case ZT_STOP_SECCOMP:
        if (zt_loop_enter(pod, task, &onward, err))
            return -1;
        if (onward == ZT_ONWARD_RUN_AFTER_ENDS && take_ends(pod, err))
            return -1;
        return run(pod, task, 0, err);
    case ZT_STOP_CALL:
        if (zt_loop_call(pod, task, err))
            return -1;
        task->hears = pod->detaches && zt_signal_is_next(task->rtid.n); /* it may do nothing, and then it shows */
        return run(pod, task, 0, err);
    case ZT_STOP_FORK:
    case ZT_STOP_VFORK:
        task->process->segv = 0; /* it has begun, and what it makes of SIGSEGV is its own */
        if (zt_loop_on_fork(pod, task, stop.kind == ZT_STOP_VFORK, &hold, err))
            return -1;
        if (hold)
            return 0;
        if (let_others_catch_up(pod, err))
            return -1;
        return zt_pod_task(pod, stop.rtid) == task ? run(pod, task, 0, err) : 0;
    case ZT_STOP_EXEC:
        if (zt_loop_on_exec(pod, stop, &task, &rests, err))
            return -1;
        if (!task)
            return 0;
        return rests ? zt_loop_at_rest(pod, task, task->group_stop, err) : run(pod, task, 0, err);
    case ZT_STOP_ENDING:
        zt_pi_owner_gone(pod, task);
        zt_robust_hand_over(task);
        return run(pod, task, 0, err);
    case ZT_STOP_SIGNAL:
        return on_signal(pod, task, stop, err);
    case ZT_STOP_OTHER:
        return run(pod, task, 0, err);
    }
    return 0;
}

int zt_loop_dispatch(zt_pod *pod, zt_stop stop, zt_err *err)
{
    zt_task *task = zt_pod_task(pod, stop.rtid);
    if (!task && stop.kind == ZT_STOP_EXITED) {
        zt_intmap_remove(&pod->early, stop.rtid);
        if (pod->notified)
            zt_loop_tell_end(pod, stop.rtid, stop.value);
        return 0;
    }
    if (!handle(pod, task, stop, err))
        return 0;
    if (err->kind == ZT_ERR_GONE)
        return zt_loop_take_end(pod, err);
    switch (err->kind) {
    case ZT_ERR_UNFIT: /* that program alone has ended */
        zt_pod_tell(pod, err->text);
        return 0;
    case ZT_ERR_TIMEOUT: /* no safe point: it rests, and can be thawed */
        return -1;
    default:
        pod->broken = *err;
        return -1;
    }
}

static int let_makers_go(zt_pod *pod, zt_err *err)
{
    for (zt_task *child; pod->apart && (child = zt_loop_next_apart(pod));) {
        zt_task *maker = zt_loop_free_maker(child);
        pod->apart--;
        zt_pod_forget_task(pod, child);
        if (let_go(pod, maker, err))
            return -1;
    }
    return 0;
}

int zt_loop_step(zt_pod *pod, int options, zt_err *err)
{
    int status;
    if (pod->apart && !options) {
        zt_loop_nap(pod, 1000000);
        options = WNOHANG;
    }
    if (pod->apart && let_makers_go(pod, err))
        return -1;
    if (atomic_load(&pod->looker.handed) && zt_loop_take_over(pod, err))
        return -1;
    if (!options)
        zt_pod_pause(pod);
    pid_t rtid = waitpid(-1, &status, __WNOTHREAD | options); /* tracees; not the holder of pod/looker.h */
    if (!options)
        zt_pod_go_on(pod);
    if (rtid == 0 || (rtid < 0 && errno == EINTR))
        return 0;
    if (rtid < 0 && errno == ECHILD && pod->notified) { /* nobody is attached, and all descend from our first thread */
        if (!options)
            zt_loop_nap(pod, 100000000);
        return 0;
    }
    if (rtid < 0 && errno == ECHILD)
        return zt_fail(err, ZT_ERR_STATE, ECHILD, "the kernel knows none of the pod's %d threads", pod->task_count);
    if (rtid < 0)
        return zt_fail_os(err, "waitpid");
    if (!options)
        zt_loop_follow(pod, rtid);
    zt_stop stop = zt_stop_of(rtid, status);
    if (!zt_pod_task(pod, rtid) && stop.kind != ZT_STOP_EXITED && stop.kind != ZT_STOP_EXEC) {
        if (zt_intmap_put(&pod->early, rtid, (uintptr_t)status + 1))
            return zt_fail(err, ZT_ERR_OS, ENOMEM, "no memory for a new thread");
        return 1;
    }
    return zt_loop_dispatch(pod, stop, err) ? -1 : 1;
}

void zt_loop_nap(zt_pod *pod, long ns)
{
    const struct timespec span = {0, ns};
    zt_pod_pause(pod);
    nanosleep(&span, NULL);
    zt_pod_go_on(pod);
}

/* Who was born is told of by its maker, or by nobody, if that was killed before we could look: also when the
 * maker's end came before the first stop of its child. One whose parent is not of the pod may have a maker
 * that is (CLONE_PARENT): for that there is some time. */
static int step_or_adopt(zt_pod *pod, zt_err *err)
{
    enum { NAPS = 20 };
    int took = pod->early.used ? zt_loop_step(pod, WNOHANG, err) : 0;
    if (!took && pod->early.used && zt_loop_has_orphan(pod)) {
        for (int i = 0; i < NAPS && !took; i++) {
            zt_loop_nap(pod, 1000000);
            took = zt_loop_step(pod, WNOHANG, err);
        }
        return took ? took : adopt_orphans(pod, err);
    }
    return took ? took : zt_loop_step(pod, 0, err);
}

/* When no thread is left: the last one's end may have been told before the first stop of a child that it had
 * made. The kernel knows of that from its birth on, and otherwise, as a rule, of nobody that is ours. */
static int look_for_newborn(zt_pod *pod, zt_err *err)
{
    enum { NAPS = 20 };
    siginfo_t ignored;
    int took = 0;
    for (int i = 0; i < NAPS && !took; i++) {
        if (waitid(P_ALL, 0, &ignored, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WNOTHREAD))
            return 0;
        took = zt_loop_step(pod, WNOHANG, err);
        if (!took)
            zt_loop_nap(pod, 1000000);
    }
    return took;
}

static int run_while_any(zt_pod *pod, zt_err *err)
{
    int took = 0;
    while (pod->task_count || (pod->early.used && !pod->freezing) || zt_pod_lives_apart(pod)) {
        if (pod->wants_all && !pod->freezing && zt_loop_attach_for_good(pod, err))
            return -1;
        if (pod->broken.kind) {
            *err = pod->broken;
            return -1;
        }
        if (atomic_exchange(&pod->woken, false))
            return 1;
        if (pod->freezing) { /* nothing runs; only deaths can come, and they can wait */
            do
                took = zt_loop_step(pod, WNOHANG, err);
            while (took > 0 && pod->task_count); /* of the last one's end nothing follows */
            if (!took && pod->task_count)
                zt_loop_nap(pod, 5000000);
        } else {
            took = step_or_adopt(pod, err);
        }
        if (took < 0)
            return -1;
    }
    return 0;
}

static int run_until_woken(zt_pod *pod, zt_err *err)
{
    int took;
    do {
        const int woken = run_while_any(pod, err);
        if (woken || pod->freezing)
            return woken;
        took = look_for_newborn(pod, err);
    } while (took > 0);
    return took;
}

int zt_loop_run(zt_pod *pod, zt_err *err)
{
    const int result = run_until_woken(pod, err);
    zt_loop_follow_no_more(pod);
    return result;
}

void zt_loop_wake(zt_pod *pod)
{
    atomic_store(&pod->woken, true);
    zt_wake(pod->tracer_tid);
}
