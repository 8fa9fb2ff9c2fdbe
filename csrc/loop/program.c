/* Syscall programs in threads of a frozen pod, also such as make processes and execute programs. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "../base/proc.h"
#include "../pod/blocked/blocked.h"
#include "../ptrace/whole.h"
#include "loop.h"

typedef struct running {
    zt_pod *pod;
    int32_t rtid;
    uint64_t mask; /* of signals, to end with */
} running;

static int on_event(void *context, zt_stop stop, zt_err *err)
{
    const running *run = context;
    zt_task *task = zt_pod_task(run->pod, run->rtid);
    bool hold, rests;
    switch (stop.kind) {
    case ZT_STOP_FORK:
        return zt_loop_on_fork(run->pod, task, false, &hold, err);
    case ZT_STOP_EXEC:
        if (zt_loop_on_exec(run->pod, stop, &task, &rests, err))
            return -1;
        if (task)
            task->state = ZT_TASK_REST;
        return 1;
    case ZT_STOP_ENDING:
        return 0;
    case ZT_STOP_EXITED:
        return zt_loop_on_end(run->pod, task, stop.value, err) ? -1 : 1;
    default:
        return zt_fail(err, ZT_ERR_PROGRAM, 0, "unexpected stop of kind %d in a program", stop.kind);
    }
}

/* Nothing of it has run since we last looked, or we look now. */
static int make_whole(const zt_pod *pod, zt_task *task, zt_err *err)
{
    char text[sizeof err->text];
    if (task->process->whole)
        return 0;
    if (!zt_whole_make(zt_task_stopped(task), &pod->host, pod->clock_offset_ns, err)) {
        task->process->whole = true;
        return 0;
    }
    snprintf(text, sizeof text, "%s", err->text);
    return zt_fail(err, err->kind, err->os_errno, "process %d: %.200s", task->process->vpid.n, text);
}

/* What is left is as it was, or will be when it comes back; and if the stub was changed, that is why. */
static int went_wrong(zt_task *task, const zt_stub_watch *watch, zt_err *err)
{
    char text[sizeof err->text];
    const bool late = err->kind == ZT_ERR_LATE;
    if (!late && err->kind != ZT_ERR_TIMEOUT && err->kind != ZT_ERR_HARMED)
        return -1;
    if (late) {
        task->late.active = true;
        task->late.regs = watch->regs;
        task->late.mask = watch->mask;
        task->state = ZT_TASK_RUNNING;
    }
    task->process->whole = false;
    zt_err look;
    if (zt_whole_look(zt_task_stopped(task), &look) && look.kind == ZT_ERR_FOREIGN) {
        snprintf(text, sizeof text, "%s", look.text);
        zt_fail(err, ZT_ERR_FOREIGN, 0, "process %d: %.200s", task->process->vpid.n, text);
    }
    return -1;
}

int zt_loop_on_late(zt_pod *pod, zt_task *task, zt_stop stop, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    if (stop.kind != ZT_STOP_REST && stop.kind != ZT_STOP_GROUP && zt_stopped_rest(thread, &stop, err))
        return -1;
    task->late.active = false;
    if (stop.kind == ZT_STOP_EXITED)
        return zt_loop_on_end(pod, task, stop.value, err);
    if (zt_stub_put_back(thread, &task->late.regs, task->late.mask, err))
        return -1;
    task->state = ZT_TASK_REST; /* as it was when the program began */
    if (pod->freezing)
        return 0;
    return zt_blocked_thaw(task, err) ? -1 : zt_loop_at_rest(pod, task, task->group_stop, err);
}

static int run_program(zt_pod *pod, int32_t rtid, zt_program_row *rows, uint32_t count, void *data, uint32_t size,
                       uint32_t *ret_done, zt_err *err)
{
    zt_task *task = zt_pod_task(pod, rtid);
    if (!task || task->state != ZT_TASK_REST)
        return zt_fail(err, task ? ZT_ERR_STATE : ZT_ERR_GONE, ESRCH, "thread %d is not at rest", rtid);
    if (make_whole(pod, task, err))
        return -1;
    running run = {pod, rtid, 0};
    zt_stub_watch watch = {.patience_ms = pod->patience_ms};
    int failed = zt_stub_run((zt_stopped){rtid}, rows, count, data, size, on_event, &run, &watch, ret_done, err);
    task = zt_pod_task(pod, rtid);
    if (!task)
        return failed;
    task->made = (zt_vpid){0}; /* the child's number is ours to know, no program sees it */
    return failed ? went_wrong(task, &watch, err) : 0;
}

int zt_loop_run_program(zt_pod *pod, int32_t rtid, zt_program_row *rows, uint32_t count, void *data, uint32_t size,
                        uint32_t *ret_done, zt_err *err)
{
    if (!run_program(pod, rtid, rows, count, data, size, ret_done, err))
        return 0;
    zt_loop_take_end(pod, err);
    return -1;
}

int zt_loop_end_process(zt_pod *pod, int32_t rtid, int32_t signal, zt_err *err)
{
    zt_task *task = zt_pod_task(pod, rtid);
    zt_stop stop;
    if (!task || task->state != ZT_TASK_REST)
        return zt_fail(err, task ? ZT_ERR_STATE : ZT_ERR_GONE, ESRCH, "thread %d is not at rest", rtid);
    if (zt_stopped_set_mask((zt_stopped){rtid}, 0, err))
        return -1;
    if (kill(rtid, signal))
        return zt_fail_os(err, "kill");
    /* SIGKILL takes it out of any stop by itself; but then it stops once more, about to end. */
    if (signal != SIGKILL && zt_stopped_resume((zt_stopped){rtid}, ZT_TO_EVENT, 0, err))
        return -1;
    for (;;) {
        if (zt_stop_wait(rtid, &stop, err))
            return -1;
        if (stop.kind == ZT_STOP_EXITED)
            break;
        int deliver = stop.kind == ZT_STOP_SIGNAL ? stop.value : 0;
        if (zt_stopped_resume((zt_stopped){rtid}, ZT_TO_EVENT, deliver, err))
            return -1;
    }
    return zt_loop_on_end(pod, task, stop.value, err);
}

/* With everything else blocked, let the leader take the signal and do what it does by default. */
static int take_stop(zt_stopped thread, int signal, zt_stop *ret, zt_err *err)
{
    uint64_t mask;
    if (zt_stopped_get_mask(thread, &mask, err) || zt_stopped_set_mask(thread, ~(1ull << (signal - 1)), err))
        return -1;
    if (kill(thread.rtid, signal))
        return zt_fail_os(err, "kill");
    if (zt_stopped_resume(thread, ZT_TO_EVENT, 0, err) || zt_stop_wait(thread.rtid, ret, err))
        return -1;
    if (ret->kind == ZT_STOP_SIGNAL) {
        if (zt_interrupt(thread.rtid, err) || zt_stopped_resume(thread, ZT_TO_EVENT, ret->value, err) ||
            zt_stop_wait(thread.rtid, ret, err))
            return -1;
    }
    return zt_stopped_set_mask(thread, mask, err);
}

int zt_loop_stop_process(zt_pod *pod, int32_t rpid, int32_t signal, zt_err *err)
{
    zt_task *leader = zt_pod_task(pod, rpid);
    zt_stop stop;
    if (!leader || leader->state != ZT_TASK_REST)
        return zt_fail(err, leader ? ZT_ERR_STATE : ZT_ERR_GONE, ESRCH, "process %d is not at rest", rpid);
    if (take_stop((zt_stopped){rpid}, signal, &stop, err))
        return -1;
    /* An orphaned group is not stopped by the terminal's signals (any more): by this one it is. */
    if (stop.kind != ZT_STOP_GROUP && take_stop((zt_stopped){rpid}, SIGSTOP, &stop, err))
        return -1;
    for (zt_task *task = pod->tasks; task; task = task->next) {
        if (task->process != leader->process)
            continue;
        if (task != leader && zt_stopped_rest(zt_task_stopped(task), &stop, err))
            return -1;
        if (stop.kind != ZT_STOP_GROUP)
            return zt_fail(err, ZT_ERR_STATE, 0, "thread %d did not stop", task->rtid.n);
        task->group_stop = stop.value;
    }
    return 0;
}

int zt_loop_continue_process(zt_pod *pod, int32_t rpid, zt_err *err)
{
    zt_task *leader = zt_pod_task(pod, rpid);
    if (!leader || leader->state != ZT_TASK_REST)
        return zt_fail(err, leader ? ZT_ERR_STATE : ZT_ERR_GONE, ESRCH, "process %d is not at rest", rpid);
    if (kill(rpid, SIGCONT))
        return zt_fail_os(err, "kill");
    for (zt_task *task = pod->tasks; task; task = task->next)
        if (task->process == leader->process)
            task->group_stop = 0;
    return 0;
}

int zt_loop_await(zt_pod *pod, int32_t rtid, int32_t child_rtid, zt_err *err)
{
    zt_task *maker = zt_pod_task(pod, rtid), *child = zt_pod_task(pod, child_rtid);
    if (!maker || !child || maker->state != ZT_TASK_REST)
        return zt_fail(err, ZT_ERR_STATE, 0, "thread %d cannot wait for thread %d", rtid, child_rtid);
    child->vfork_maker = maker;
    maker->awaits_child = true;
    return 0;
}

/* Its end is not told before that of all others: it is a zombie, in between (kernel/exit.c, delay_group_leader). */
static int await_zombie(int32_t rtid, zt_err *err)
{
    enum { NAP_US = 50, LIMIT_US = 15000000 };
    const struct timespec nap = {0, NAP_US * 1000};
    zt_proc_stat stat;
    for (int waited = 0; waited < LIMIT_US; waited += NAP_US) {
        if (!zt_proc_get_stat(rtid, &stat))
            return zt_fail(err, ZT_ERR_GONE, ESRCH, "thread %d was killed", rtid);
        if (stat.state == 'Z')
            return 0;
        nanosleep(&nap, NULL);
    }
    return zt_fail(err, ZT_ERR_TIMEOUT, 0, "thread %d did not end", rtid);
}

static int on_end_of_first(void *context, zt_stop stop, zt_err *err)
{
    const running *run = context;
    if (stop.kind != ZT_STOP_ENDING)
        return zt_fail(err, ZT_ERR_PROGRAM, 0, "unexpected stop of kind %d of a thread that ends", stop.kind);
    zt_pod_task(run->pod, run->rtid)->state = ZT_TASK_ENDED;
    if (zt_stopped_set_mask((zt_stopped){run->rtid}, run->mask, err) ||
        zt_stopped_resume((zt_stopped){run->rtid}, ZT_TO_EVENT, 0, err))
        return -1;
    return await_zombie(run->rtid, err) ? -1 : 1;
}

int zt_loop_end_first(zt_pod *pod, int32_t rpid, int32_t status, uint64_t mask, zt_err *err)
{
    zt_program_row row = {.nr = (uint32_t)zt_arch_nr(ZT_NR_EXIT), .args = {(uint64_t)status}};
    zt_task *task = zt_pod_task(pod, rpid);
    running run = {pod, rpid, mask};
    uint32_t done;
    if (!task || task->state != ZT_TASK_REST || task->process->threads < 2 || !pod->moved)
        return zt_fail(err, ZT_ERR_STATE, 0, "thread %d cannot end before others", rpid);
    return zt_stub_run((zt_stopped){rpid}, &row, 1, NULL, 0, on_end_of_first, &run, NULL, &done, err);
}
