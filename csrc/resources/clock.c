/* The pod's monotonic time is the host's plus an offset: so that it never jumps at a restore. What
 * the program gives as an absolute time becomes the host's on the way in. Our vDSO does the same
 * for programs that ask there. */
#include <stdio.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <time.h>

#include "../base/proc.h"
#include "resource.h"

enum { NS_PER_S = 1000000000 };

static struct timespec shifted(struct timespec time, int64_t by_ns)
{
    int64_t ns = time.tv_nsec + by_ns % NS_PER_S;
    time.tv_sec += by_ns / NS_PER_S;
    if (ns < 0) {
        ns += NS_PER_S;
        time.tv_sec--;
    } else if (ns >= NS_PER_S) {
        ns -= NS_PER_S;
        time.tv_sec++;
    }
    time.tv_nsec = ns;
    return time;
}

/* An absolute time before the host's own beginning has passed, whatever it is exactly. */
static struct timespec to_host(const zt_pod *pod, struct timespec time)
{
    time = shifted(time, -pod->clock_offset_ns);
    return time.tv_sec < 0 ? (struct timespec){0, 1} : time;
}

static bool is_sane(const struct timespec *time)
{
    return time->tv_sec >= 0 && time->tv_nsec >= 0 && time->tv_nsec < NS_PER_S;
}

/* Argument `arg` points to an absolute monotonic time: give the kernel one of its own. */
static zt_verdict shift_argument(zt_pod *pod, zt_task *task, zt_call *call, int arg)
{
    struct timespec time;
    if (!zt_hook_read(task, call->asked[arg], &time, sizeof time) || !is_sane(&time))
        return ZT_GO;
    time = to_host(pod, time);
    call->issued[arg] = zt_task_scratch(task);
    if (!zt_hook_write(task, call->issued[arg], &time, sizeof time))
        return zt_hook_answer(call, -EFAULT);
    return ZT_GO;
}

/* A CPU-time clock of a process or thread carries its id: ~id << 3, and what kind it is
 * (include/linux/posix-timers_types.h, CPUCLOCK_PID). False: there is no such thing in the pod. */
static bool translate_cpu_clock(zt_pod *pod, zt_call *call, int arg)
{
    enum { KIND = 7, CLOCK_OF_FD = 3 };
    int32_t clock = (int32_t)call->asked[arg];
    if (clock >= 0 || (clock & KIND) == CLOCK_OF_FD)
        return true;
    int32_t id = ~(clock >> 3);
    if (!id)
        return true; /* the caller's own */
    zt_rpid real = zt_pod_real(pod, id);
    call->issued[arg] = (uint64_t)(int64_t)(int32_t)((uint32_t)~real.n << 3 | (uint32_t)(clock & KIND));
    return real.n;
}

zt_verdict zt_clock_gettime_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return translate_cpu_clock(pod, call, 0) ? ZT_GO : zt_hook_answer(call, -EINVAL);
}

zt_verdict zt_clock_getres_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return translate_cpu_clock(pod, call, 0) ? ZT_GO : zt_hook_answer(call, -EINVAL);
}

/* timer_create(clock, sigevent, id): both may name a thread. */
zt_verdict zt_timer_create_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { TO_THREAD = 4 /* SIGEV_THREAD_ID */ };
    struct {
        uint64_t value;
        int32_t signal, notify, tid;
        int32_t rest[11];
    } event; /* struct sigevent, 64 bytes */
    _Static_assert(sizeof event <= ZT_STUB_SCRATCH_SLOT, "a sigevent fits into a scratch slot");
    if (!translate_cpu_clock(pod, call, 0))
        return zt_hook_answer(call, -EINVAL);
    if (!call->asked[1] || !zt_hook_read(task, call->asked[1], &event, sizeof event) || !(event.notify & TO_THREAD))
        return ZT_GO;
    event.tid = zt_pod_real(pod, event.tid).n;
    if (!event.tid)
        return zt_hook_answer(call, -EINVAL);
    call->issued[1] = zt_task_scratch(task);
    if (!zt_hook_write(task, call->issued[1], &event, sizeof event))
        return zt_hook_answer(call, -EFAULT);
    return ZT_GO;
}

void zt_clock_gettime_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct timespec now;
    /* Where the clock cannot be read in user mode the host's vDSO calls the kernel on behalf of
     * ours, which adds the offset itself. */
    if (call->ip >= ZT_STUB_HOST && call->ip < ZT_STUB_HOST + ZT_STUB_HOST_SIZE)
        return;
    if ((int32_t)call->asked[0] < 0) /* CPU time */
        return;
    if (call->answer || !zt_hook_read(task, call->asked[1], &now, sizeof now))
        return;
    now = shifted(now, pod->clock_offset_ns);
    zt_hook_write(task, call->asked[1], &now, sizeof now);
}

zt_verdict zt_clock_nanosleep_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return shift_argument(pod, task, call, 2);
}

zt_verdict zt_futex_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return shift_argument(pod, task, call, 3);
}

zt_verdict zt_futex_wait_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return call->asked[5] == CLOCK_MONOTONIC ? shift_argument(pod, task, call, 4) : ZT_GO;
}

zt_verdict zt_futex_waitv_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return call->asked[4] == CLOCK_MONOTONIC ? shift_argument(pod, task, call, 3) : ZT_GO;
}

/* timerfd_settime(fd, TFD_TIMER_ABSTIME, new, old): which clock it is of, the fd knows. */
static bool timerfd_is_monotonic(const zt_task *task, int fd)
{
    char text[512];
    int clock = -1;
    const char *value = zt_proc_fd_info(task->rtid.n, fd, text, sizeof text) ? NULL : zt_proc_value(text, "clockid");
    if (value)
        sscanf(value, "%d", &clock);
    return clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM;
}

static zt_verdict shift_timer(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct itimerspec timer;
    if (!zt_hook_read(task, call->asked[2], &timer, sizeof timer) || !is_sane(&timer.it_value) ||
        (!timer.it_value.tv_sec && !timer.it_value.tv_nsec)) /* zero disarms */
        return ZT_GO;
    timer.it_value = to_host(pod, timer.it_value);
    call->issued[2] = zt_task_scratch(task);
    if (!zt_hook_write(task, call->issued[2], &timer, sizeof timer))
        return zt_hook_answer(call, -EFAULT);
    return ZT_GO;
}

zt_verdict zt_timerfd_settime_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return timerfd_is_monotonic(task, (int)call->asked[0]) ? shift_timer(pod, task, call) : ZT_GO;
}

static bool posix_timer_is_monotonic(const zt_task *task, int id)
{
    char line[128];
    int current = -1, clock = -1;
    FILE *timers = zt_proc_open(task->process->rpid.n, "timers");
    while (timers && fgets(line, sizeof line, timers)) {
        sscanf(line, "ID: %d", &current);
        if (current == id && sscanf(line, "ClockID: %d", &clock) == 1)
            break;
    }
    if (timers)
        fclose(timers);
    return clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM;
}

zt_verdict zt_timer_settime_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return posix_timer_is_monotonic(task, (int)call->asked[0]) ? shift_timer(pod, task, call) : ZT_GO;
}

void zt_sysinfo_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct sysinfo info;
    if (call->answer || !zt_hook_read(task, call->asked[0], &info, sizeof info))
        return;
    info.uptime += pod->clock_offset_ns / NS_PER_S;
    zt_hook_write(task, call->asked[0], &info, sizeof info);
}

void zt_times_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    enum { USER_HZ_ = 100 };
    if (call->answer >= 0)
        call->answer += pod->clock_offset_ns / (NS_PER_S / USER_HZ_);
}
