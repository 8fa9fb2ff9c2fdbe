#include "past.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { US_PER_S = 1000000, NS_PER_S = 1000000000 };

/* The kinds of CPU-time clocks, and what their numbers hold besides the id (posix-timers_types.h). */
enum { PROF = 0, SCHED = 2, KIND = 3, PER_THREAD = 4 };

zt_process_past *zt_past_of(zt_pod *pod, zt_rpid rpid)
{
    const zt_process *process = zt_pod_process(pod, rpid);
    return process ? process->past : (zt_process_past *)zt_intmap_get(&pod->ended_pasts, rpid.n);
}

int64_t zt_past_of_clock(zt_pod *pod, const zt_task *task, int32_t clock)
{
    bool of_thread = clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && clock & PER_THREAD);
    int kind = clock < 0 ? clock & KIND : SCHED;
    int32_t id = clock < 0 ? ~(clock >> 3) : 0;
    if ((clock >= 0 && !of_thread && clock != CLOCK_PROCESS_CPUTIME_ID) || kind >= ZT_CPU_CLOCKS)
        return 0;
    zt_rpid named = id ? zt_pod_real(pod, id) : of_thread ? task->rtid : task->process->rpid;
    if (of_thread) {
        const zt_task *other = zt_pod_task(pod, named.n);
        return other && other->past ? other->past->clocks_ns[kind] : 0;
    }
    const zt_process_past *past = zt_past_of(pod, named);
    return past ? past->clocks_ns[kind] : 0;
}

static void add_time(struct timeval *time, int64_t us)
{
    int64_t sum = time->tv_sec * (int64_t)US_PER_S + time->tv_usec + us;
    sum = sum < 0 ? 0 : sum;
    *time = (struct timeval){sum / US_PER_S, sum % US_PER_S};
}

void zt_past_add(const zt_usage *past, struct rusage *usage)
{
    long *counts = &usage->ru_ixrss;
    add_time(&usage->ru_utime, past->user_us);
    add_time(&usage->ru_stime, past->system_us);
    if (usage->ru_maxrss < past->most_rss)
        usage->ru_maxrss = past->most_rss;
    for (size_t i = 0; i < sizeof past->counts / sizeof *past->counts; i++)
        counts[i] += past->counts[i];
}

static void add_usage(const zt_usage *more, zt_usage *sum)
{
    sum->user_us += more->user_us;
    sum->system_us += more->system_us;
    if (sum->most_rss < more->most_rss)
        sum->most_rss = more->most_rss;
    for (size_t i = 0; i < sizeof sum->counts / sizeof *sum->counts; i++)
        sum->counts[i] += more->counts[i];
}

void zt_past_waited(zt_pod *pod, zt_process *parent, zt_rpid child)
{
    const zt_process_past *past = (zt_process_past *)zt_intmap_get(&pod->ended_pasts, child.n);
    if (!past)
        return;
    if (!parent->past)
        parent->past = calloc(1, sizeof *parent->past);
    if (parent->past) { /* else its time is lost; the pod is not */
        add_usage(&past->own, &parent->past->children);
        add_usage(&past->children, &parent->past->children);
        for (int i = 0; i < 2; i++)
            parent->past->ticks[2 + i] += past->ticks[i] + past->ticks[2 + i];
    }
    zt_pod_forget_past(pod, child);
}

void zt_past_begin(const zt_process *maker, const zt_process *child)
{
    struct rlimit limit;
    if (!maker->past || !maker->past->limit_s || prlimit(child->rpid.n, RLIMIT_CPU, NULL, &limit) ||
        limit.rlim_cur == RLIM_INFINITY)
        return;
    limit.rlim_cur += (rlim_t)maker->past->limit_s;
    prlimit(child->rpid.n, RLIMIT_CPU, &limit, NULL);
}

void zt_past_take(zt_task *task, zt_task *former)
{
    zt_thread_past *past = task->past;
    if (task == former)
        return;
    task->past = former->past;
    former->past = past;
}

bool zt_past_is_used_up(const zt_task *task, const siginfo_t *info)
{
    const zt_process_past *past = task->process->past;
    const clockid_t clock = (clockid_t)((uint32_t)~task->process->rpid.n << 3 | PROF);
    struct rlimit limit;
    struct timespec used;
    if (info->si_signo != SIGXCPU || info->si_code != SI_KERNEL || !past ||
        prlimit(task->process->rpid.n, RLIMIT_CPU, NULL, &limit) || limit.rlim_max == RLIM_INFINITY ||
        clock_gettime(clock, &used))
        return false;
    int64_t used_ns = used.tv_sec * (int64_t)NS_PER_S + used.tv_nsec + past->clocks_ns[PROF];
    return used_ns / NS_PER_S >= (int64_t)limit.rlim_max;
}

/* --- the door */

void zt_past_get_thread(zt_pod *pod, int32_t rtid, zt_thread_past *ret)
{
    const zt_task *task = zt_pod_task(pod, rtid);
    *ret = task && task->past ? *task->past : (zt_thread_past){0};
}

void zt_past_get_process(zt_pod *pod, int32_t rpid, zt_process_past *ret)
{
    const zt_process_past *past = zt_past_of(pod, (zt_rpid){rpid});
    *ret = past ? *past : (zt_process_past){0};
}

int zt_past_set_thread(zt_pod *pod, int32_t rtid, const zt_thread_past *past)
{
    zt_task *task = zt_pod_task(pod, rtid);
    if (task && !task->past && !(task->past = malloc(sizeof *past)))
        return -ENOMEM;
    if (task)
        *task->past = *past;
    return 0;
}

int zt_past_set_process(zt_pod *pod, int32_t rpid, const zt_process_past *past)
{
    zt_process *process = zt_pod_process(pod, (zt_rpid){rpid});
    zt_process_past *there = zt_past_of(pod, (zt_rpid){rpid});
    if (!there && !(there = malloc(sizeof *there)))
        return -ENOMEM;
    *there = *past;
    if (process)
        process->past = there;
    else if (zt_intmap_put(&pod->ended_pasts, rpid, (uintptr_t)there)) {
        free(there);
        return -ENOMEM;
    }
    return 0;
}
