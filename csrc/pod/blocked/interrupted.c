/* When a thread that waits is stopped: what interrupted it, and does it show? */
#include "blocked.h"

#include <errno.h>
#include <sys/syscall.h>

#include "descriptor.h"
#include "part.h"
#include "reissue.h"
#include "restarted.h"
#include "signals.h"

static bool shows_eintr(const zt_regs *regs)
{
    return zt_row_of((int32_t)zt_arch_call_nr(regs))->eintr && zt_arch_result(regs) == -EINTR;
}

/* In a call that shows whatever wakes it, by EINTR or by less than was asked for? */
static bool shows_it(zt_task *task, const zt_regs *regs)
{
    return shows_eintr(regs) || zt_part_was_cut(task, regs);
}

/* The kernel goes on with some calls as restart_syscall, and then the number says nothing any more:
 * remember it, and put it back (the kernel restarts by the result alone). */
static int keep_restart_nr(const zt_pod *pod, zt_task *task, zt_regs *regs, zt_err *err)
{
    const int64_t restart_block = -516;
    uint64_t args[6];
    if (zt_arch_result(regs) != restart_block)
        return 0;
    zt_arch_get_args(regs, args);
    if (zt_arch_call_nr(regs) != SYS_restart_syscall) {
        zt_restarted_note(task, (int32_t)zt_arch_call_nr(regs), args);
        if (!pod->freezing)
            task->deadline_ns = 0; /* it was of a call before this one */
        return 0;
    }
    zt_arch_set_call_nr(regs, zt_restarted_nr(task, args));
    return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
}

/* One that was made again before has what is left of its time. Since when another one waits nobody has
 * seen: its time starts anew, this once. */
static int make_again(zt_task *task, const zt_regs *regs, zt_err *err)
{
    const bool has_begun = task->reissue.ended_by_eintr && task->deadline_ns;
    task->reissue.ended_by_eintr = false;
    return zt_blocked_reissue(task, has_begun ? zt_reissue_time_left(task) : zt_blocked_span(task, regs), err);
}

/* It was woken, and nothing is there for it. What was moved in part may as well be all that there was. */
static int again_after_nothing(zt_task *task, const zt_regs *regs, zt_err *err)
{
    if (zt_reissue_waits(task, regs) || !shows_eintr(regs) || zt_signal_waits(task->rtid.n))
        return 0;
    return make_again(task, regs, err);
}

int zt_blocked_at_rest(zt_pod *pod, zt_task *task, zt_err *err)
{
    zt_regs regs;
    const bool woken = task->woken && !task->group_stop;
    task->woken = false;
    if (zt_stopped_get_regs(zt_task_stopped(task), &regs, err) || keep_restart_nr(pod, task, &regs, err))
        return -1;
    if (!pod->freezing) {
        const int failed = woken ? again_after_nothing(task, &regs, err) : 0;
        task->reissue.ended_by_eintr = false;
        return failed;
    }
    if (zt_reissue_waits(task, &regs)) { /* frozen again before it could run */
        task->interrupted = true;
        return zt_reissue_unmake(task, &regs, err);
    }
    /* A process that a signal has stopped was interrupted by that. One that still waits is looked for
     * when it goes on: in a restored process it may take the call again to let it in (epoll_pwait). */
    task->interrupted = !task->group_stop && shows_it(task, &regs);
    return 0;
}

bool zt_blocked_left_error(const zt_task *task, int *ret_fd)
{
    zt_regs regs;
    zt_err ignored;
    uint64_t args[6];
    if (!task->interrupted || zt_stopped_get_regs(zt_task_stopped(task), &regs, &ignored))
        return false;
    const zt_row *row = zt_row_of((int32_t)zt_arch_call_nr(&regs));
    zt_arch_get_args(&regs, args);
    *ret_fd = (int)args[row->part.fd];
    return row->part.noted && zt_arch_result(&regs) > 0;
}

void zt_blocked_error_was(zt_task *task, int error)
{
    task->interrupted = zt_descriptor_was_cut(error);
}

int zt_blocked_thaw(zt_task *task, zt_err *err)
{
    bool interrupted = task->interrupted;
    task->interrupted = false;
    if (interrupted && !zt_signal_waits(task->rtid.n) && /* else that is the reason */
        zt_blocked_reissue(task, task->deadline_ns ? zt_reissue_time_left(task) : -1, err))
        return -1;
    if (task->reissue.active)
        zt_reissue_begins(task);
    return 0;
}

/* A call that would have been looked at, and never waits: what interrupted it came before that. The kernel would
 * make EINTR of it where a handler runs, which no program expects of such a call. */
static bool was_not_looked_at(const zt_regs *regs)
{
    const int64_t restartsys = -512;
    return zt_arch_result(regs) == restartsys && zt_row_of((int32_t)zt_arch_call_nr(regs))->looked;
}

/* What a signal does is read from /proc, which costs more than the rest of its stop: only when it matters. */
static bool does_nothing(const zt_task *task, int signal)
{
    return !signal || zt_signal_does_nothing(task->rtid.n, signal);
}

/* What has woken it another thread may have taken by now, and then it gets to user mode without a stop:
 * woken.h. */
int zt_blocked_left_call(zt_task *task, zt_err *err)
{
    const bool alone = task->process->threads < 2 && !task->reissue.ended_by_eintr;
    zt_regs regs;
    if (task->woken || alone || task->reissue.active)
        return 0;
    if (zt_stopped_get_regs(zt_task_stopped(task), &regs, err))
        return -1;
    task->woken = shows_eintr(&regs);
    return 0;
}

int zt_blocked_at_signal(const zt_pod *pod, zt_task *task, int signal, zt_regs *regs, zt_err *err)
{
    int failed = 0;
    task->woken = false; /* what it shows is seen now */
    if (was_not_looked_at(regs)) {
        zt_arch_rewind_call(regs, zt_arch_call_nr(regs));
        return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
    }
    if (keep_restart_nr(pod, task, regs, err))
        return -1;
    if (zt_reissue_waits(task, regs))
        return does_nothing(task, signal) ? 0 : zt_reissue_unmake(task, regs, err);
    if (shows_it(task, regs) && does_nothing(task, signal) && !zt_signal_waits(task->rtid.n))
        failed = make_again(task, regs, err);
    task->reissue.ended_by_eintr = false;
    return failed;
}
