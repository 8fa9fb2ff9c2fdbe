/* Moments that a program gives, on a clock that is ahead of the kernel's. */
#pragma once
#include <time.h>

#include "../resource.h"

enum { ZT_NS_PER_S = 1000000000 };

static inline struct timespec zt_time_shifted(struct timespec time, int64_t by_ns)
{
    int64_t ns = time.tv_nsec + by_ns % ZT_NS_PER_S;
    time.tv_sec += by_ns / ZT_NS_PER_S;
    if (ns < 0) {
        ns += ZT_NS_PER_S;
        time.tv_sec--;
    } else if (ns >= ZT_NS_PER_S) {
        ns -= ZT_NS_PER_S;
        time.tv_sec++;
    }
    time.tv_nsec = ns;
    return time;
}

/* A moment before the kernel's own beginning has passed, whatever it is exactly. */
static inline struct timespec zt_time_of_kernel(struct timespec time, int64_t ahead_ns)
{
    time = zt_time_shifted(time, -ahead_ns);
    return time.tv_sec < 0 || (!time.tv_sec && !time.tv_nsec) ? (struct timespec){0, 1} : time;
}

static inline bool zt_time_is_sane(const struct timespec *time)
{
    return time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < ZT_NS_PER_S;
}

/* Argument `arg` points to such a moment: give the kernel one of its own. */
static inline zt_verdict zt_hook_shift(zt_task *task, zt_call *call, int arg, int64_t ahead_ns)
{
    struct timespec time;
    if (!zt_hook_read(task, call->asked[arg], &time, sizeof time) || !zt_time_is_sane(&time))
        return ZT_GO;
    time = zt_time_of_kernel(time, ahead_ns);
    call->issued[arg] = zt_task_scratch(task);
    if (!zt_hook_write(task, call->issued[arg], &time, sizeof time))
        return zt_hook_answer(call, -EFAULT);
    return ZT_GO;
}
