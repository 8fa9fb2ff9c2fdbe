#include "time_left.h"

#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../ptrace/mem.h"
#include "blocked.h"
#include "part.h"
#include "restarted.h"
#include "scratch.h"
#include "seen.h"

enum {
    NS_PER_S = 1000000000,
    NS_PER_MS = 1000000,
    LATE_NS = 100 * NS_PER_MS, /* a wait may end so much after its deadline */
};

int64_t zt_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)NS_PER_S + now.tv_nsec;
}

/* --- since when a thread is asleep */

/* From a processor's task clock to CLOCK_MONOTONIC. Each has its own (it leaves out the time of
 * interrupts and of the hypervisor, kernel/sched/core.c, update_rq_clock_task), so go there. */
static int64_t measure_cpu(int cpu)
{
    enum { TRIES = 20, GOOD = 3 };
    const struct timespec short_sleep = {0, 50000};
    cpu_set_t before, there;
    CPU_ZERO(&there);
    CPU_SET(cpu, &there);
    if (sched_getaffinity(0, sizeof before, &before) || sched_setaffinity(0, sizeof there, &there))
        return 0;
    const int32_t us = (int32_t)syscall(SYS_gettid);
    int64_t nearest = 0;
    for (int tries = 0, good = 0; tries < TRIES && good < GOOD; tries++) {
        nanosleep(&short_sleep, NULL); /* so that our own exec_start is of just now */
        const int64_t start = zt_seen_exec_start(us), now = zt_now_ns();
        /* Nobody else was on the processor in between: what is too much is what reading took. */
        if (!start || zt_seen_exec_start(us) != start)
            continue;
        if (!good++ || now - start < nearest)
            nearest = now - start;
    }
    sched_setaffinity(0, sizeof before, &before);
    return nearest;
}

void zt_blocked_calibrate(zt_blocked_clocks *clocks)
{
    memset(clocks, 0, sizeof *clocks);
}

/* On the host's monotonic clock; now, if the kernel does not say. */
static int64_t asleep_since(zt_blocked_clocks *clocks, int32_t rtid)
{
    int64_t now = zt_now_ns();
    int cpu = zt_seen_cpu(rtid);
    if (cpu < 0 || cpu >= ZT_BLOCKED_CPUS)
        return now;
    if (!clocks->measured[cpu]) {
        clocks->measured[cpu] = true;
        clocks->to_monotonic_ns[cpu] = measure_cpu(cpu);
    }
    int64_t start = clocks->to_monotonic_ns[cpu] ? zt_seen_exec_start(rtid) : 0;
    int64_t since = start + clocks->to_monotonic_ns[cpu];
    return start && since < now ? since : now;
}

/* --- how long it wants to be */

bool zt_has_span(const zt_row *row, const uint64_t *args)
{
    return row->timeout.unit != ZT_UNTIMED && zt_arg_holds(&row->timeout.span, args);
}

/* In ns; -1: for ever. */
static int64_t span_of(const zt_task *task, const zt_row *row, const uint64_t *args)
{
    uint64_t value = args[row->timeout.arg];
    if (row->timeout.unit == ZT_MILLISECONDS)
        return (int32_t)value < 0 ? -1 : (int32_t)value * (int64_t)NS_PER_MS;
    struct timespec span;
    if (!value || zt_mem_read(task->rtid.n, value, &span, sizeof span) != sizeof span)
        return -1;
    if (span.tv_sec > INT64_MAX / NS_PER_S - 1)
        return -1;
    return span.tv_sec * (int64_t)NS_PER_S + span.tv_nsec;
}

int64_t zt_blocked_span(const zt_task *task, const zt_regs *regs)
{
    const zt_row *row = zt_row_of((int32_t)zt_arch_call_nr(regs));
    uint64_t args[6];
    zt_arch_get_args(regs, args);
    return zt_has_span(row, args) ? span_of(task, row, args) : -1;
}

/* --- a freeze */

static int64_t deadline(zt_blocked_clocks *clocks, const zt_task *task, const zt_row *row, const uint64_t *args)
{
    int64_t span = zt_has_span(row, args) ? span_of(task, row, args) : -1;
    if (span < 0)
        return 0;
    int64_t since = asleep_since(clocks, task->rtid.n);
    return since > INT64_MAX - span ? INT64_MAX : since + span;
}

void zt_blocked_look(zt_blocked_clocks *clocks, zt_task *task)
{
    long nr;
    uint64_t args[6];
    if (task->reissue.active)
        return; /* we made it go on: what was noted then stands */
    bool asleep = zt_seen_call(task->rtid.n, &nr, args);
    if (asleep && nr == SYS_restart_syscall) {
        if (task->deadline_ns && zt_now_ns() < task->deadline_ns + LATE_NS)
            return; /* the kernel did */
        nr = zt_restarted_asleep_nr(task, args);
        zt_restarted_note(task, (int32_t)nr, args);
    }
    const zt_row *row = asleep ? zt_row_of((int32_t)nr) : NULL;
    task->deadline_ns = row ? deadline(clocks, task, row, args) : 0;
    if (!row || !row->queue)
        task->queued = 0;
    else if (!task->queued || zt_seen_exec_start(task->rtid.n) != task->queued_start)
        task->queued = asleep_since(clocks, task->rtid.n);
    task->control_size = row ? zt_part_control_size(task, row, args) : 0;
}

void zt_blocked_queued(zt_task *task)
{
    task->queued = zt_now_ns();
    task->queued_start = zt_seen_exec_start(task->rtid.n);
}

int64_t zt_blocked_left(const zt_pod *pod, const zt_task *task)
{
    if (!task->deadline_ns)
        return -1;
    int64_t left = task->deadline_ns - pod->frozen_at_ns;
    return left > 0 ? left : 0;
}

int zt_put_time_left(const zt_task *task, const zt_row *row, int64_t left_ns, uint64_t *issued, zt_err *err)
{
    if (row->timeout.unit == ZT_MILLISECONDS) {
        issued[row->timeout.arg] = (uint64_t)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
        return 0;
    }
    const struct timespec left = {left_ns / NS_PER_S, left_ns % NS_PER_S};
    issued[row->timeout.arg] = zt_scratch_of(task, offsetof(zt_scratch, span));
    return zt_mem_put(task->rtid.n, issued[row->timeout.arg], &left, sizeof left, err);
}
