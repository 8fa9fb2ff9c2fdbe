/* What a restored process is told that it has used: what this host's kernel counts, and its past
 * (pod/past.h). Its limit on CPU time is the kernel's to watch, which counts from 0: the soft one is
 * lowered by the past. The hard one is not, as nobody could raise it again for a child, which has no
 * past; whoever reaches it is told so by SIGXCPU first, and ended there (loop.c). The CPU-time clocks
 * are in clock.c. */
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/times.h>
#include <time.h>

#include "../base/proc.h"
#include "../pod/past.h"
#include "resource.h"

void zt_getrusage_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)pod;
    const int who = (int)call->asked[0];
    const zt_process_past *past = task->process->past;
    const zt_usage *usage = NULL;
    struct rusage told;
    if (who == RUSAGE_THREAD)
        usage = task->past ? &task->past->own : NULL;
    else if (past)
        usage = who == RUSAGE_CHILDREN ? &past->children : &past->own;
    if (call->answer || !usage || !zt_hook_read(task, call->asked[1], &told, sizeof told))
        return;
    zt_past_add(usage, &told);
    zt_hook_write(task, call->asked[1], &told, sizeof told);
}

/* Its result counts from the start of the host, as the monotonic clock does. */
zt_verdict zt_times_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { NS_PER_TICK = 1000000000 / 100 };
    const zt_process_past *past = task->process->past;
    int64_t ticks[4]; /* as struct tms has them */
    _Static_assert(sizeof ticks == sizeof(struct tms), "user, system, children's user, children's system");
    if (call->asked[0]) {
        if (!zt_proc_get_ticks(task->process->rpid.n, ticks))
            return zt_hook_answer(call, -EFAULT); /* it has ended: nobody hears the answer */
        for (int i = 0; past && i < 4; i++)
            ticks[i] += past->ticks[i];
        if (!zt_hook_write(task, call->asked[0], ticks, sizeof ticks))
            return zt_hook_answer(call, -EFAULT);
    }
    return zt_hook_answer(call, times(&(struct tms){0}) + pod->clock_offset_ns / NS_PER_TICK);
}

/* --- the limit */

static int64_t limit_past(const zt_process *process)
{
    return process && process->past ? process->past->limit_s : 0;
}

/* The program sets it: argument `arg` points to a struct rlimit. */
static zt_verdict lower(zt_task *task, zt_call *call, int arg, int64_t past_s)
{
    struct rlimit limit;
    if (!past_s || !call->asked[arg] || !zt_hook_read(task, call->asked[arg], &limit, sizeof limit))
        return ZT_GO;
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > limit.rlim_max)
        return ZT_GO; /* the latter the kernel refuses */
    int64_t left = (int64_t)limit.rlim_cur - past_s;
    limit.rlim_cur = left < 0 ? 0 : (rlim_t)left;
    if (limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    call->issued[arg] = zt_task_scratch(task);
    if (!zt_hook_write(task, call->issued[arg], &limit, sizeof limit))
        return zt_hook_answer(call, -EFAULT);
    return ZT_GO;
}

static void raise_told(zt_task *task, const zt_call *call, int arg, int64_t past_s)
{
    struct rlimit limit;
    if (call->answer || !past_s || !call->asked[arg] || !zt_hook_read(task, call->asked[arg], &limit, sizeof limit))
        return;
    if (limit.rlim_cur == RLIM_INFINITY)
        return;
    limit.rlim_cur += (rlim_t)past_s;
    zt_hook_write(task, call->asked[arg], &limit, sizeof limit);
}

void zt_getrlimit_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)pod;
    raise_told(task, call, 1, limit_past(task->process));
}

zt_verdict zt_setrlimit_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)pod;
    return lower(task, call, 1, limit_past(task->process));
}

/* prlimit64(pid, resource, new, old) */
zt_verdict zt_prlimit64_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const int32_t pid = (int32_t)call->asked[0];
    const zt_process *process = task->process;
    if (pid > 0) {
        zt_rpid real = zt_pod_real(pod, pid);
        if (!real.n)
            return zt_hook_answer(call, -ESRCH);
        call->issued[0] = (uint64_t)real.n;
        const zt_task *other = zt_pod_task(pod, real.n);
        process = other ? other->process : zt_pod_process(pod, real);
    }
    return (uint32_t)call->asked[1] == RLIMIT_CPU ? lower(task, call, 2, limit_past(process)) : ZT_GO;
}

void zt_prlimit64_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    const int32_t pid = (int32_t)call->asked[0];
    const zt_task *other = pid > 0 ? zt_pod_task(pod, (int32_t)call->issued[0]) : task;
    if ((uint32_t)call->asked[1] == RLIMIT_CPU && other)
        raise_told(task, call, 3, limit_past(other->process));
}
