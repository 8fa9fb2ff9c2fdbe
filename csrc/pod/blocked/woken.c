#include "woken.h"

#include "../../base/proc.h"
#include "seen.h"
#include "signals.h"

/* One that is asleep was not woken. Stopped on its way out of a call, or there waiting for a lock, it
 * shows the same call, and it may have been. */
static bool may_be_woken(const zt_task *task)
{
    long nr;
    zt_proc_stat stat;
    uint64_t args[6];
    if (task->state != ZT_TASK_RUNNING || task->woken)
        return false;
    if (!zt_seen_call(task->rtid.n, &nr, args))
        return true;
    return zt_row_of((int32_t)nr)->eintr && (!zt_proc_get_stat(task->rtid.n, &stat) || stat.state != 'S');
}

static void look_at_others(zt_pod *pod, const zt_task *taker)
{
    zt_err ignored; /* ESRCH: its end is on the way */
    for (zt_task *task = pod->tasks; task; task = task->next) {
        if (task->process != taker->process || task == taker || !may_be_woken(task))
            continue;
        task->woken = true;
        zt_interrupt(task->rtid.n, &ignored);
    }
}

static bool is_kept_out(zt_pod *pod, const siginfo_t *waiting, int32_t count)
{
    for (int32_t i = 0; i < count; i++)
        if (zt_pod_is_kept_out(pod, &waiting[i]))
            return true;
    return false;
}

int zt_woken_before_run(zt_pod *pod, zt_task *task, zt_err *err)
{
    enum { MOST = 4 };
    siginfo_t waiting[MOST];
    int32_t count;
    if (task->process->threads < 2)
        return 0;
    if (zt_stopped_peek_siginfo(zt_task_stopped(task), true, waiting, MOST, &count, err))
        return -1;
    if (count && (is_kept_out(pod, waiting, count) || zt_signal_waits_for_nothing(task->rtid.n)))
        look_at_others(pod, task);
    return 0;
}

void zt_woken_by(zt_pod *pod, zt_task *taker, const siginfo_t *info)
{
    if (taker->process->threads < 2 || info->si_code == SI_TKILL) /* sent to it alone */
        return;
    if (zt_pod_is_kept_out(pod, info) || zt_signal_does_nothing(taker->rtid.n, info->si_signo))
        look_at_others(pod, taker);
}
