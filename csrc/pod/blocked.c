#include "blocked.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../ptrace/mem.h"

enum { NS_PER_S = 1000000000, NS_PER_MS = 1000000 };

typedef enum unit { MILLISECONDS, TIMESPEC, UNTIMED } unit;

/* The calls of which a timeout has to be known, and where it is. */
static const struct timed_call {
    int32_t nr;
    unit unit;
    int8_t arg;
    bool eintr; /* answers EINTR to a stop without a handler */
} TIMED[] = {
    {SYS_poll, MILLISECONDS, 2, false},
    {SYS_nanosleep, TIMESPEC, 0, false},
    {SYS_clock_nanosleep, TIMESPEC, 2, false},
    {SYS_futex, TIMESPEC, 3, false},
    {SYS_epoll_wait, MILLISECONDS, 3, true},
    {SYS_epoll_pwait, MILLISECONDS, 3, true},
    {441 /* epoll_pwait2 */, TIMESPEC, 3, true},
    {SYS_rt_sigtimedwait, TIMESPEC, 2, true},
    {SYS_semtimedop, TIMESPEC, 3, true},
    {SYS_semop, UNTIMED, 0, true},
    {SYS_io_getevents, TIMESPEC, 4, true},
    /* Sockets with SO_RCVTIMEO or SO_SNDTIMEO; the timeout starts anew. */
    {SYS_read, UNTIMED, 0, true},
    {SYS_write, UNTIMED, 0, true},
    {SYS_recvfrom, UNTIMED, 0, true},
    {SYS_recvmsg, UNTIMED, 0, true},
    {SYS_sendto, UNTIMED, 0, true},
    {SYS_sendmsg, UNTIMED, 0, true},
    {SYS_accept, UNTIMED, 0, true},
    {SYS_accept4, UNTIMED, 0, true},
};

static const struct timed_call *timed_call_of(long nr)
{
    for (size_t i = 0; i < sizeof TIMED / sizeof *TIMED; i++)
        if (TIMED[i].nr == nr)
            return &TIMED[i];
    return NULL;
}

int64_t zt_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * (int64_t)NS_PER_S + now.tv_nsec;
}

static int read_proc(int32_t rtid, const char *name, char *ret, size_t size)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/%s", rtid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, ret, size - 1);
    close(fd);
    if (got < 0)
        return -1;
    ret[got] = 0;
    return 0;
}

/* se.exec_start of a thread, in ns of the scheduler's clock; 0: this kernel does not tell. */
static int64_t exec_start(int32_t rtid)
{
    char text[1024];
    int64_t ms;
    long fraction;
    if (read_proc(rtid, "sched", text, sizeof text))
        return 0;
    const char *line = strstr(text, "se.exec_start");
    if (!line || !(line = strchr(line, ':')) || sscanf(line + 1, " %ld.%ld", &ms, &fraction) != 2)
        return 0;
    return ms * NS_PER_MS + fraction;
}

/* The processor that a thread ran on last; -1: not known. */
static int last_cpu(int32_t rtid)
{
    char text[1024];
    int cpu = -1;
    if (read_proc(rtid, "stat", text, sizeof text))
        return -1;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 39; field++) /* proc(5): field 39 is the processor */
        at = strchr(at + 1, ' ');
    return at && sscanf(at, "%d", &cpu) == 1 ? cpu : -1;
}

/* From a processor's task clock to CLOCK_MONOTONIC. Each has its own (it leaves out the time of
 * interrupts and of the hypervisor, kernel/sched/core.c, update_rq_clock_task), so go there. */
static int64_t measure_cpu(int cpu)
{
    const struct timespec short_sleep = {0, 50000};
    cpu_set_t before, there;
    CPU_ZERO(&there);
    CPU_SET(cpu, &there);
    if (sched_getaffinity(0, sizeof before, &before) || sched_setaffinity(0, sizeof there, &there))
        return 0;
    nanosleep(&short_sleep, NULL); /* so that our own exec_start is of just now */
    int64_t now = zt_now_ns(), start = exec_start((int32_t)syscall(SYS_gettid));
    sched_setaffinity(0, sizeof before, &before);
    return start ? now - start : 0;
}

void zt_blocked_calibrate(zt_blocked_clocks *clocks)
{
    memset(clocks, 0, sizeof *clocks);
}

/* When a sleeping thread fell asleep, on the host's monotonic clock; now, if the kernel does not say. */
static int64_t asleep_since(zt_blocked_clocks *clocks, int32_t rtid)
{
    int64_t now = zt_now_ns();
    int cpu = last_cpu(rtid);
    if (cpu < 0 || cpu >= ZT_BLOCKED_CPUS)
        return now;
    if (!clocks->measured[cpu]) {
        clocks->measured[cpu] = true;
        clocks->to_monotonic_ns[cpu] = measure_cpu(cpu);
    }
    int64_t start = clocks->to_monotonic_ns[cpu] ? exec_start(rtid) : 0;
    int64_t since = start + clocks->to_monotonic_ns[cpu];
    return start && since < now ? since : now;
}

/* The timeout of a call in ns; -1: it has none. */
static int64_t timeout_of(const zt_task *task, const struct timed_call *timed, const uint64_t *args)
{
    if (timed->unit == UNTIMED)
        return -1;
    uint64_t value = args[timed->arg];
    if (timed->unit == MILLISECONDS)
        return (int32_t)value < 0 ? -1 : (int32_t)value * (int64_t)NS_PER_MS;
    struct timespec span;
    if (!value || zt_mem_read(task->rtid.n, value, &span, sizeof span) != sizeof span)
        return -1;
    if (span.tv_sec > INT64_MAX / NS_PER_S - 1)
        return -1;
    return span.tv_sec * (int64_t)NS_PER_S + span.tv_nsec;
}

/* An absolute timeout needs no help: the same arguments mean the same time. */
static bool is_absolute(long nr, const uint64_t *args)
{
    enum { FUTEX_COMMAND = 0x7f, FUTEX_WAIT_ = 0 };
    if (nr == SYS_clock_nanosleep)
        return args[1] & TIMER_ABSTIME;
    return nr == SYS_futex && (args[1] & FUTEX_COMMAND) != FUTEX_WAIT_;
}

void zt_blocked_look(zt_blocked_clocks *clocks, zt_task *task)
{
    char text[256];
    long nr;
    uint64_t args[6];
    if (read_proc(task->rtid.n, "syscall", text, sizeof text) ||
        sscanf(text, "%ld %lx %lx %lx %lx %lx %lx", &nr, &args[0], &args[1], &args[2], &args[3], &args[4], &args[5]) !=
            7) {
        task->deadline_ns = 0; /* running, or in no call */
        return;
    }
    if (nr == SYS_restart_syscall || task->reissue.active)
        return; /* the kernel, or we, made it go on: its deadline stands */
    task->deadline_ns = 0;
    const struct timed_call *timed = timed_call_of(nr);
    if (!timed || is_absolute(nr, args))
        return;
    int64_t timeout = timeout_of(task, timed, args);
    if (timeout < 0)
        return;
    int64_t since = asleep_since(clocks, task->rtid.n);
    task->deadline_ns = since > INT64_MAX - timeout ? INT64_MAX : since + timeout;
}

int64_t zt_blocked_left(const zt_pod *pod, const zt_task *task)
{
    if (!task->deadline_ns)
        return -1;
    int64_t left = task->deadline_ns - pod->frozen_at_ns;
    return left > 0 ? left : 0;
}

typedef struct signal_sets {
    uint64_t own, shared, blocked, ignored, caught;
} signal_sets;

static bool read_signal_sets(int32_t rtid, signal_sets *ret)
{
    char text[4096];
    if (read_proc(rtid, "status", text, sizeof text))
        return false;
    const struct {
        const char *key;
        uint64_t *into;
    } fields[] = {{"SigPnd:", &ret->own},
                  {"ShdPnd:", &ret->shared},
                  {"SigBlk:", &ret->blocked},
                  {"SigIgn:", &ret->ignored},
                  {"SigCgt:", &ret->caught}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *at = strstr(text, fields[i].key);
        if (!at || sscanf(at + strlen(fields[i].key), "%lx", fields[i].into) != 1)
            return false;
    }
    return true;
}

/* Is a signal waiting that the thread would take now? Then EINTR is the program's own. */
static bool signal_waits(int32_t rtid)
{
    signal_sets sets;
    return read_signal_sets(rtid, &sets) && (sets.own | sets.shared) & ~sets.blocked & ~sets.ignored;
}

static bool does_nothing(int32_t rtid, int signal)
{
    const uint64_t bit = 1ull << (signal - 1);
    const uint64_t nothing_by_default =
        1ull << (SIGCHLD - 1) | 1ull << (SIGCONT - 1) | 1ull << (SIGURG - 1) | 1ull << (SIGWINCH - 1);
    signal_sets sets;
    if (!read_signal_sets(rtid, &sets) || sets.caught & bit)
        return false;
    return (sets.ignored | nothing_by_default) & bit;
}

/* --- calls that had moved a part */

/* write(2) and its like, that a blocking pipe or socket ends early only for a signal. */
static bool moves_all(long nr, const uint64_t *args)
{
    enum { WAIT_ALL = 0x100 /* MSG_WAITALL */ };
    return nr == SYS_write || nr == SYS_sendto || (nr == SYS_recvfrom && args[3] & WAIT_ALL);
}

static bool is_blocking_stream(int32_t rtid, int fd)
{
    char path[64], target[32], text[128];
    unsigned flags;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", rtid, fd);
    ssize_t length = readlink(path, target, sizeof target - 1);
    if (length < 5 || (memcmp(target, "pipe:", 5) != 0 && memcmp(target, "socket:", 5) != 0))
        return false;
    snprintf(path, sizeof path, "fdinfo/%d", fd);
    if (read_proc(rtid, path, text, sizeof text))
        return false;
    const char *line = strstr(text, "flags:");
    return line && sscanf(line + 6, " %o", &flags) == 1 && !(flags & O_NONBLOCK);
}

static bool moved_a_part(const zt_task *task, const zt_regs *regs)
{
    uint64_t args[6];
    int64_t result = zt_arch_result(regs);
    zt_arch_get_args(regs, args);
    return moves_all(zt_arch_call_nr(regs), args) && result > 0 && (uint64_t)result < args[2] &&
           is_blocking_stream(task->rtid.n, (int)args[0]);
}

/* --- making a call again */

int zt_blocked_reissue(zt_task *task, int64_t left_ns, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    zt_regs regs;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    long nr = zt_arch_call_nr(&regs);
    int64_t done = moved_a_part(task, &regs) ? zt_arch_result(&regs) : 0;
    const struct timed_call *timed = timed_call_of(nr);
    bool in_time = left_ns >= 0 && timed && timed->unit != UNTIMED;

    zt_arch_rewind_call(&regs, nr);
    if (zt_stopped_set_regs(thread, &regs, err))
        return -1;
    zt_call *call = &task->reissue.call;
    call->nr = (int32_t)nr;
    zt_arch_get_args(&regs, call->asked);
    memcpy(call->issued, call->asked, sizeof call->issued);
    if (done) {
        call->issued[1] += (uint64_t)done;
        call->issued[2] -= (uint64_t)done;
    } else if (in_time && timed->unit == MILLISECONDS) {
        call->issued[timed->arg] = (uint64_t)((left_ns + NS_PER_MS - 1) / NS_PER_MS);
    } else if (in_time) {
        const struct timespec left = {left_ns / NS_PER_S, left_ns % NS_PER_S};
        call->issued[timed->arg] = zt_task_scratch(task);
        if (zt_mem_put(task->rtid.n, call->issued[timed->arg], &left, sizeof left, err))
            return -1;
    }
    task->reissue.active = done || in_time;
    task->reissue.entered = false;
    task->reissue.done = done;
    task->reissue.rip = regs.rip;
    task->reissue.rsp = regs.rsp;
    task->reissue.left_ns = in_time ? left_ns : -1;
    return 0;
}

/* Its own arguments for the kernel on the way in, the program's on the way out. A handler that runs
 * first makes calls of its own; let them be. */
int zt_blocked_call(zt_task *task, bool entering, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    zt_regs regs;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    if (entering) {
        task->reissue.entered = regs.rsp == task->reissue.rsp &&
                                regs.rip == task->reissue.rip + ZT_ARCH_SYSCALL_BYTES &&
                                zt_arch_call_nr(&regs) == task->reissue.call.nr;
        if (!task->reissue.entered)
            return 0;
        zt_arch_set_args(&regs, task->reissue.call.issued);
    } else if (task->reissue.entered) {
        int64_t result = zt_arch_result(&regs);
        if (task->reissue.done) /* what was moved before is moved, whatever became of the rest */
            zt_arch_set_result(&regs, task->reissue.done + (result > 0 ? result : 0));
        zt_arch_set_args(&regs, task->reissue.call.asked);
        task->reissue.active = task->reissue.entered = false;
    }
    return zt_stopped_set_regs(thread, &regs, err);
}

/* In a call that answers EINTR to whatever wakes it? */
static bool shows_eintr(const zt_regs *regs)
{
    const struct timed_call *timed = timed_call_of(zt_arch_call_nr(regs));
    return timed && timed->eintr && zt_arch_result(regs) == -EINTR;
}

/* The kernel goes on with some calls as restart_syscall, and then the number says nothing any more:
 * remember it, and put it back (the kernel restarts by the result alone). */
static int keep_restart_nr(zt_task *task, zt_regs *regs, zt_err *err)
{
    const int64_t restart_block = -516;
    if (zt_arch_result(regs) != restart_block)
        return 0;
    if (zt_arch_call_nr(regs) != SYS_restart_syscall) {
        task->restart_nr = (int32_t)zt_arch_call_nr(regs);
        return 0;
    }
    zt_arch_set_call_nr(regs, task->restart_nr);
    return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
}

/* Frozen again before it could run: back to how the call was found. */
static int unmake_reissue(zt_task *task, zt_regs *regs, zt_err *err)
{
    task->reissue.active = false;
    task->interrupted = true;
    regs->rip += ZT_ARCH_SYSCALL_BYTES;
    zt_arch_set_call_nr(regs, task->reissue.call.nr);
    zt_arch_set_result(regs, task->reissue.done ? task->reissue.done : -EINTR);
    return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
}

int zt_blocked_at_rest(zt_pod *pod, zt_task *task, zt_err *err)
{
    zt_regs regs;
    if (zt_stopped_get_regs(zt_task_stopped(task), &regs, err) || keep_restart_nr(task, &regs, err))
        return -1;
    if (!pod->freezing)
        return 0;
    if (task->reissue.active && !task->reissue.entered && regs.rip == task->reissue.rip)
        return unmake_reissue(task, &regs, err);
    task->interrupted = (shows_eintr(&regs) || moved_a_part(task, &regs)) && !signal_waits(task->rtid.n);
    return 0;
}

int zt_blocked_thaw(zt_task *task, zt_err *err)
{
    bool interrupted = task->interrupted;
    task->interrupted = false;
    if (interrupted && !signal_waits(task->rtid.n)) { /* else: now there is a reason for EINTR */
        int64_t left = task->deadline_ns ? task->deadline_ns - zt_now_ns() : -1;
        if (zt_blocked_reissue(task, task->deadline_ns && left < 0 ? 0 : left, err))
            return -1;
    }
    if (task->reissue.active)
        task->deadline_ns = task->reissue.left_ns < 0 ? 0 : zt_now_ns() + task->reissue.left_ns;
    return 0;
}

int zt_blocked_at_signal(zt_task *task, int signal, zt_err *err)
{
    zt_regs regs;
    if (zt_stopped_get_regs(zt_task_stopped(task), &regs, err) || keep_restart_nr(task, &regs, err))
        return -1;
    if (!shows_eintr(&regs) || !does_nothing(task->rtid.n, signal))
        return 0;
    return zt_blocked_reissue(task, -1, err); /* its timeout starts anew */
}
