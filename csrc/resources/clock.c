/* The pod's monotonic time is the host's plus an offset: so that it never jumps at a restore. What
 * the program gives as an absolute time becomes the host's on the way in. Our vDSO does the same
 * for programs that ask there. A CPU-time clock is as much ahead of the kernel's as its process or
 * thread has a past (pod/past.h). */
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/syscall.h>
#include <time.h>

#include "../base/proc.h"
#include "../pod/past.h"
#include "common/deadline.h"
#include "resource.h"

/* A CPU-time clock of a process or thread carries its id: ~id << 3, and what kind it is
 * (include/linux/posix-timers_types.h, CPUCLOCK_PID). False: there is no such thing in the pod. */
enum { CLOCK_KIND = 7, CLOCK_OF_FD = 3 };

static bool names_an_id(int32_t clock)
{
    return clock < 0 && (clock & CLOCK_KIND) != CLOCK_OF_FD && ~(clock >> 3); /* 0 is the caller's own */
}

static int32_t clock_of_id(int32_t clock, int32_t id)
{
    return (int32_t)((uint32_t)~id << 3 | (uint32_t)(clock & CLOCK_KIND));
}

static bool is_cpu_clock(int32_t clock)
{
    return clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
}

static bool translate_cpu_clock(zt_pod *pod, zt_call *call, int arg)
{
    int32_t clock = (int32_t)call->asked[arg];
    if (!names_an_id(clock))
        return true;
    zt_rpid real = zt_pod_real(pod, ~(clock >> 3));
    call->issued[arg] = (uint64_t)(int64_t)clock_of_id(clock, real.n);
    return real.n;
}

/* As syscalls.py has them, SHIFTED_CLOCKS. */
static bool is_shifted(int32_t clock)
{
    const uint32_t set = 1u << CLOCK_MONOTONIC | 1u << CLOCK_MONOTONIC_RAW | 1u << CLOCK_MONOTONIC_COARSE |
                         1u << CLOCK_BOOTTIME | 1u << CLOCK_BOOTTIME_ALARM;
    return clock >= 0 && clock < 32 && set >> clock & 1;
}

/* A clock that is everybody's is read for the program, which need not stop for that. */
static int64_t tell(const zt_pod *pod, const zt_task *task, const zt_call *call)
{
    struct timespec now;
    /* Where the clock cannot be read in user mode the host's vDSO calls the kernel on behalf of
     * ours, which adds the offset itself. */
    const bool by_host = call->ip >= ZT_STUB_HOST && call->ip < ZT_STUB_HOST + ZT_STUB_HOST_SIZE;
    if (clock_gettime((clockid_t)call->asked[0], &now))
        return -errno;
    now = zt_time_shifted(now, by_host ? 0 : pod->clock_offset_ns);
    return zt_hook_write(task, call->asked[1], &now, sizeof now) ? 0 : -EFAULT;
}

zt_verdict zt_clock_gettime_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    if (is_shifted((int32_t)call->asked[0]))
        return zt_hook_answer(call, tell(pod, task, call));
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

/* A timer of the caller's own thread does not show in /proc whose that is. */
void zt_timer_create_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { PER_THREAD = 4 };
    int32_t clock = (int32_t)call->asked[0], key[2] = {task->process->vpid.n, 0};
    bool own = clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && clock & PER_THREAD && !names_an_id(clock));
    if (!call->answer && own && zt_hook_read(task, call->asked[2], &key[1], sizeof key[1]))
        zt_hook_store(pod, call, "posix_timer", key, sizeof key, &task->vtid.n, sizeof task->vtid.n);
}

void zt_clock_gettime_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct timespec now;
    const int64_t ahead_ns = zt_past_of_clock(pod, task, (int32_t)call->asked[0]);
    if (call->answer || !zt_hook_read(task, call->asked[1], &now, sizeof now))
        return;
    now = zt_time_shifted(now, ahead_ns);
    zt_hook_write(task, call->asked[1], &now, sizeof now);
}

zt_verdict zt_clock_nanosleep_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const int32_t clock = (int32_t)call->asked[0];
    if (!translate_cpu_clock(pod, call, 0))
        return zt_hook_answer(call, -EINVAL);
    if (!(call->asked[1] & TIMER_ABSTIME))
        return ZT_GO;
    return zt_hook_shift(task, call, 2,
                         is_cpu_clock(clock) ? zt_past_of_clock(pod, task, clock) : pod->clock_offset_ns);
}

/* timerfd_settime(fd, TFD_TIMER_ABSTIME, new, old): which clock it is of, the fd knows. */
static int clock_of_timerfd(const zt_task *task, int fd)
{
    char text[512];
    int clock = -1;
    const char *value = zt_proc_fd_info(task->rtid.n, fd, text, sizeof text) ? NULL : zt_proc_value(text, "clockid");
    if (value)
        sscanf(value, "%d", &clock);
    return clock;
}

static bool starts_with_host(int32_t clock)
{
    return clock == CLOCK_MONOTONIC || clock == CLOCK_BOOTTIME || clock == CLOCK_BOOTTIME_ALARM;
}

static zt_verdict shift_timer(zt_task *task, zt_call *call, int64_t ahead_ns)
{
    struct itimerspec timer;
    if (!zt_hook_read(task, call->asked[2], &timer, sizeof timer) || !zt_time_is_sane(&timer.it_value) ||
        (!timer.it_value.tv_sec && !timer.it_value.tv_nsec)) /* zero disarms */
        return ZT_GO;
    timer.it_value = zt_time_of_kernel(timer.it_value, ahead_ns);
    call->issued[2] = zt_task_scratch(task);
    if (!zt_hook_write(task, call->issued[2], &timer, sizeof timer))
        return zt_hook_answer(call, -EFAULT);
    return ZT_GO;
}

zt_verdict zt_timerfd_settime_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return starts_with_host(clock_of_timerfd(task, (int)call->asked[0])) ? shift_timer(task, call, pod->clock_offset_ns)
                                                                         : ZT_GO;
}

/* As timer_create was asked, but with the kernel's ids; CLOCK_REALTIME if there is no such timer. */
static int clock_of_timer(const zt_task *task, int id)
{
    char line[128];
    int current = -1, clock = CLOCK_REALTIME;
    FILE *timers = zt_proc_open(task->process->rpid.n, "timers");
    while (timers && fgets(line, sizeof line, timers)) {
        sscanf(line, "ID: %d", &current);
        if (current == id && sscanf(line, "ClockID: %d", &clock) == 1)
            break;
    }
    if (timers)
        fclose(timers);
    return clock;
}

/* How far ahead of the kernel's the clock of a CPU-time timer is. */
static int64_t past_of_timer(zt_pod *pod, const zt_task *task, int id, int32_t clock)
{
    const int32_t key[2] = {task->process->vpid.n, id};
    if (names_an_id(clock))
        return zt_past_of_clock(pod, task, clock_of_id(clock, zt_pod_virtual(pod, ~(clock >> 3)).n));
    const zt_stored *owner = zt_store_get(&pod->store, "posix_timer", key, sizeof key);
    int32_t vtid = task->vtid.n;
    if (owner && owner->value_size == sizeof vtid)
        memcpy(&vtid, owner->value, sizeof vtid);
    const zt_task *of = zt_pod_task(pod, zt_pod_real(pod, vtid).n);
    return zt_past_of_clock(pod, of ? of : task, clock);
}

zt_verdict zt_timer_settime_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const int id = (int)call->asked[0];
    const int32_t clock = clock_of_timer(task, id);
    if (starts_with_host(clock))
        return shift_timer(task, call, pod->clock_offset_ns);
    return clock < 0 ? shift_timer(task, call, past_of_timer(pod, task, id, clock)) : ZT_GO;
}

/* It tells of the host alone, but for how long that has run: seconds, and one for what is begun. */
zt_verdict zt_sysinfo_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct sysinfo info;
    struct timespec now;
    sysinfo(&info);
    clock_gettime(CLOCK_BOOTTIME, &now);
    now = zt_time_shifted(now, pod->clock_offset_ns);
    info.uptime = now.tv_sec + (now.tv_nsec != 0);
    return zt_hook_answer(call, zt_hook_write(task, call->asked[0], &info, sizeof info) ? 0 : -EFAULT);
}
