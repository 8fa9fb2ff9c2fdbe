#include "reissue.h"

#include <errno.h>
#include <string.h>

#include "blocked.h"
#include "descriptor.h"
#include "part.h"
#include "time_left.h"

/* What is to be called next. False: nothing, it is done. */
static bool make_step(zt_task *task, const zt_row *row)
{
    if (task->reissue.done)
        return zt_descriptor_ask(task, row) || zt_part_next(task, row);
    task->reissue.step = ZT_STEP_AGAIN;
    task->reissue.issued_nr = task->reissue.call.nr;
    memcpy(task->reissue.call.issued, task->reissue.call.asked, sizeof task->reissue.call.issued);
    return true;
}

void zt_reissue_begins(zt_task *task)
{
    task->deadline_ns = task->reissue.left_ns < 0 ? 0 : zt_now_ns() + task->reissue.left_ns;
}

int64_t zt_reissue_time_left(const zt_task *task)
{
    const int64_t left = task->deadline_ns - zt_now_ns();
    return left > 0 ? left : 0;
}

static int put_span(zt_task *task, const zt_row *row, zt_err *err)
{
    if (task->reissue.left_ns < 0 || task->reissue.step == ZT_STEP_ASK)
        return 0;
    return zt_put_time_left(task, row, task->reissue.left_ns, task->reissue.call.issued, err);
}

/* To just before the call, with the program's own values: a handler that runs first sees these. */
static int rewind_to(zt_task *task, zt_regs *regs, zt_err *err)
{
    zt_arch_set_args(regs, task->reissue.call.asked);
    zt_arch_rewind_call(regs, task->reissue.call.nr);
    task->reissue.active = true;
    task->reissue.entered = false;
    task->reissue.rip = regs->rip;
    task->reissue.rsp = regs->rsp;
    return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
}

int zt_blocked_reissue(zt_task *task, int64_t left_ns, zt_err *err)
{
    zt_regs regs;
    if (zt_stopped_get_regs(zt_task_stopped(task), &regs, err))
        return -1;
    int64_t found = zt_arch_result(&regs);
    if (found > 0 && !zt_part_was_cut(task, &regs))
        return 0;
    zt_call *call = &task->reissue.call;
    *call = (zt_call){.nr = (int32_t)zt_arch_call_nr(&regs)};
    zt_arch_get_args(&regs, call->asked);
    const zt_row *row = zt_row_of(call->nr);
    task->reissue.found = found;
    task->reissue.done = found > 0 && !zt_part_only_looked(row, call->asked) ? found : 0;
    task->reissue.left_ns = zt_has_span(row, call->asked) ? left_ns : -1;
    if (!make_step(task, row))
        return 0;
    if (put_span(task, row, err))
        return -1;
    zt_reissue_begins(task);
    return rewind_to(task, &regs, err);
}

/* A handler that runs first makes calls of its own; let them be. */
static int on_the_way_in(zt_task *task, zt_regs *regs, zt_err *err)
{
    task->reissue.entered = regs->rsp == task->reissue.rsp && regs->rip == task->reissue.rip + ZT_ARCH_SYSCALL_BYTES &&
                            zt_arch_call_nr(regs) == task->reissue.call.nr;
    if (!task->reissue.entered)
        return 0;
    zt_arch_set_call_nr(regs, task->reissue.issued_nr);
    zt_arch_set_args(regs, task->reissue.call.issued);
    if (task->filter)
        regs->rip = ZT_STUB_ISSUED; /* pod/seccomp.h */
    return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
}

/* Take in what it came to. True: there is another step to make. */
static bool is_to_go_on(zt_task *task, const zt_row *row, int64_t result)
{
    switch (task->reissue.step) {
    case ZT_STEP_AGAIN:
        return false;
    case ZT_STEP_ASK:
        return zt_descriptor_answered(task, row, result) && make_step(task, row);
    default:
        return zt_part_moved(task, row, result) && make_step(task, row);
    }
}

static int on_the_way_out(zt_task *task, zt_regs *regs, zt_err *err)
{
    const zt_row *row = zt_row_of(task->reissue.call.nr);
    if (!task->reissue.entered)
        return 0;
    task->reissue.entered = false;
    regs->rip = task->reissue.rip + ZT_ARCH_SYSCALL_BYTES;
    if (is_to_go_on(task, row, zt_arch_result(regs))) {
        if (task->reissue.left_ns >= 0)
            task->reissue.left_ns = zt_reissue_time_left(task);
        if (put_span(task, row, err))
            return -1;
        return rewind_to(task, regs, err);
    }
    task->reissue.active = false;
    task->reissue.ended_by_eintr = task->reissue.step == ZT_STEP_AGAIN && zt_arch_result(regs) == -EINTR;
    if (task->reissue.step != ZT_STEP_AGAIN) /* what was moved is moved, whatever became of the rest */
        zt_arch_set_result(regs, task->reissue.done);
    zt_arch_set_call_nr(regs, task->reissue.call.nr);
    zt_arch_set_args(regs, task->reissue.call.asked);
    return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
}

int zt_blocked_call(zt_task *task, bool entering, zt_err *err)
{
    zt_regs regs;
    if (zt_stopped_get_regs(zt_task_stopped(task), &regs, err))
        return -1;
    return entering ? on_the_way_in(task, &regs, err) : on_the_way_out(task, &regs, err);
}

bool zt_reissue_waits(const zt_task *task, const zt_regs *regs)
{
    return task->reissue.active && !task->reissue.entered && regs->rip == task->reissue.rip;
}

int zt_reissue_unmake(zt_task *task, zt_regs *regs, zt_err *err)
{
    int64_t shown = task->reissue.done ? task->reissue.done : task->reissue.found;
    task->reissue.active = false;
    regs->rip += ZT_ARCH_SYSCALL_BYTES;
    zt_arch_set_call_nr(regs, task->reissue.call.nr);
    zt_arch_set_result(regs, shown > 0 ? shown : -EINTR);
    return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
}
