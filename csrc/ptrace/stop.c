#include "stop.h"

#include <elf.h>
#include <errno.h>
#include <linux/ptrace.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../base/wake.h"

/* The C library's wrapper takes enums and differs from <linux/ptrace.h>; the kernel's own takes longs. */
static long request(long what, int32_t rtid, unsigned long address, const void *data)
{
    return syscall(SYS_ptrace, what, (long)rtid, address, data);
}

static zt_stop_kind kind_of_event(int event, int signal)
{
    switch (event) {
    case PTRACE_EVENT_FORK:
    case PTRACE_EVENT_CLONE:
        return ZT_STOP_FORK;
    case PTRACE_EVENT_VFORK:
        return ZT_STOP_VFORK;
    case PTRACE_EVENT_EXEC:
        return ZT_STOP_EXEC;
    case PTRACE_EVENT_EXIT:
        return ZT_STOP_ENDING;
    case PTRACE_EVENT_SECCOMP:
        return ZT_STOP_SECCOMP;
    case PTRACE_EVENT_STOP:
        return signal == SIGTRAP ? ZT_STOP_REST : ZT_STOP_GROUP;
    default:
        return ZT_STOP_OTHER;
    }
}

zt_stop zt_stop_of(int32_t rtid, int wait_status)
{
    zt_stop stop = {.rtid = rtid};
    if (!WIFSTOPPED(wait_status)) {
        stop.kind = ZT_STOP_EXITED;
        stop.value = wait_status;
        return stop;
    }
    int event = wait_status >> 16;
    stop.value = WSTOPSIG(wait_status);
    if (event)
        stop.kind = kind_of_event(event, stop.value);
    else
        stop.kind = stop.value == (SIGTRAP | 0x80) ? ZT_STOP_CALL : ZT_STOP_SIGNAL;
    return stop;
}

int zt_stop_fail_ended(zt_stop stop, zt_err *err)
{
    zt_fail(err, ZT_ERR_GONE, ESRCH, "thread %d was killed", stop.rtid);
    err->ended_rtid = stop.rtid;
    err->wait_status = stop.value;
    return -1;
}

/* Is it asleep where nothing of ours will wake it, or in code that is not ours? On the way to a stop it
 * runs, in the kernel, or waits for a disk; the first thread of a process that waits for the others to
 * end is a zombie. The interpreter spends some milliseconds in a second. */
static bool seems_stuck(int32_t rtid, uint64_t *user_ticks)
{
    zt_proc_stat stat;
    if (!zt_proc_get_stat(rtid, &stat))
        return false;
    const uint64_t spent = stat.user_ticks - *user_ticks;
    *user_ticks = stat.user_ticks;
    if (stat.state == 'R')
        return spent > (uint64_t)sysconf(_SC_CLK_TCK) / 10;
    return stat.state != 'D';
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000l + now.tv_nsec / 1000000;
}

static int wait_ticking(int32_t rtid, const zt_progress *progress, zt_stop *ret, zt_err *err)
{
    int status, stuck_s = 0;
    uint64_t user_ticks = 0;
    uint64_t seen = progress ? progress->look(progress->context) : 0;
    int64_t since = now_ms();
    seems_stuck(rtid, &user_ticks);
    for (;;) {
        pid_t got = waitpid(rtid, &status, __WALL);
        if (got > 0) {
            *ret = zt_stop_of(rtid, status);
            return 0;
        }
        if (errno == ECHILD)
            errno = ESRCH; /* taken away by the exec of another thread */
        if (errno != EINTR)
            return zt_fail_os(err, "waitpid");
        stuck_s = seems_stuck(rtid, &user_ticks) ? stuck_s + 1 : 0;
        const uint64_t sees = progress ? progress->look(progress->context) : 0;
        if (sees != seen) {
            seen = sees;
            since = now_ms();
            stuck_s = 0;
        }
        if (progress && now_ms() - since > progress->patience_ms)
            return zt_fail(err, ZT_ERR_TIMEOUT, 0, "thread %d is in the same call since %ld s", rtid,
                           (now_ms() - since) / 1000);
        if (stuck_s >= ZT_STUCK_AFTER_S)
            return zt_fail(err, ZT_ERR_TIMEOUT, 0, "thread %d sleeps, or runs code that is not ours, since %d s", rtid,
                           stuck_s);
    }
}

int zt_stop_wait(int32_t rtid, zt_stop *ret, zt_err *err)
{
    return zt_stop_wait_progress(rtid, NULL, ret, err);
}

int zt_stop_take(int32_t rtid, zt_stop *ret, zt_err *err)
{
    int status;
    pid_t got = waitpid(rtid, &status, __WALL | WNOHANG);
    if (got < 0 && errno == ECHILD)
        errno = ESRCH;
    if (got < 0)
        return zt_fail_os(err, "waitpid");
    if (got > 0)
        *ret = zt_stop_of(rtid, status);
    return 0;
}

int zt_stop_wait_progress(int32_t rtid, const zt_progress *progress, zt_stop *ret, zt_err *err)
{
    enum { TICK_MS = 1000 };
    int status;
    pid_t got = waitpid(rtid, &status, __WALL | WNOHANG);
    if (got > 0) {
        *ret = zt_stop_of(rtid, status);
        return 0;
    }
    zt_ticks ticks;
    if (!zt_ticks_start(&ticks, TICK_MS))
        return zt_stop_wait_for(rtid, ZT_STUCK_AFTER_S * 1000, ret, err);
    int failed = wait_ticking(rtid, progress, ret, err);
    zt_ticks_stop(&ticks);
    return failed;
}

int zt_stop_wait_for(int32_t rtid, int32_t timeout_ms, zt_stop *ret, zt_err *err)
{
    const struct timespec nap = {0, 50000};
    int status;
    for (int64_t naps = timeout_ms * 20ll; naps > 0; naps--) {
        pid_t got = waitpid(rtid, &status, __WALL | WNOHANG);
        if (got < 0 && errno == ECHILD)
            errno = ESRCH;
        if (got < 0)
            return zt_fail_os(err, "waitpid");
        if (got > 0) {
            *ret = zt_stop_of(rtid, status);
            return 0;
        }
        nanosleep(&nap, NULL);
    }
    return zt_fail(err, ZT_ERR_TIMEOUT, 0, "thread %d did not stop within %d ms", rtid, timeout_ms);
}

int zt_seize(int32_t rtid, bool see_ends, zt_err *err)
{
    long options = ZT_PTRACE_OPTIONS | (see_ends ? PTRACE_O_TRACEEXIT : 0);
    if (request(PTRACE_SEIZE, rtid, 0, (const void *)options))
        return zt_fail_os(err, "ptrace(PTRACE_SEIZE)");
    return 0;
}

int zt_interrupt(int32_t rtid, zt_err *err)
{
    if (request(PTRACE_INTERRUPT, rtid, 0, NULL))
        return zt_fail_os(err, "ptrace(PTRACE_INTERRUPT)");
    return 0;
}

int zt_stopped_resume(zt_stopped thread, zt_resume how, int signal, zt_err *err)
{
    static const long requests[] = {
        [ZT_TO_EVENT] = PTRACE_CONT,
        [ZT_TO_CALL] = PTRACE_SYSCALL,
        [ZT_TO_STEP] = PTRACE_SINGLESTEP,
        [ZT_TO_LISTEN] = PTRACE_LISTEN,
    };
    if (request(requests[how], thread.rtid, 0, (const void *)(long)signal))
        return zt_fail_os(err, "resume");
    return 0;
}

int zt_stopped_detach(zt_stopped thread, int signal, zt_err *err)
{
    if (request(PTRACE_DETACH, thread.rtid, 0, (const void *)(long)signal))
        return zt_fail_os(err, "ptrace(PTRACE_DETACH)");
    return 0;
}

int zt_stopped_rest(zt_stopped thread, zt_stop *ret, zt_err *err)
{
    for (int signal = 0;; signal = ret->kind == ZT_STOP_SIGNAL ? ret->value : 0) {
        /* Each time anew: any other stop takes a pending interrupt with it. */
        if (zt_interrupt(thread.rtid, err) || zt_stopped_resume(thread, ZT_TO_EVENT, signal, err) ||
            zt_stop_wait(thread.rtid, ret, err))
            return -1;
        if (ret->kind == ZT_STOP_REST || ret->kind == ZT_STOP_GROUP || ret->kind == ZT_STOP_EXITED)
            return 0;
    }
}

int zt_stopped_message(zt_stopped thread, unsigned long *ret, zt_err *err)
{
    if (request(PTRACE_GETEVENTMSG, thread.rtid, 0, ret))
        return zt_fail_os(err, "ptrace(PTRACE_GETEVENTMSG)");
    return 0;
}

static int regset(long what, int32_t rtid, unsigned long set, void *data, uint64_t *size, zt_err *err)
{
    struct iovec iov = {data, *size};
    if (request(what, rtid, set, &iov))
        return zt_fail_os(err, what == PTRACE_GETREGSET ? "ptrace(PTRACE_GETREGSET)" : "ptrace(PTRACE_SETREGSET)");
    *size = iov.iov_len;
    return 0;
}

int zt_stopped_get_regs(zt_stopped thread, zt_regs *ret, zt_err *err)
{
    uint64_t size = sizeof *ret;
    return regset(PTRACE_GETREGSET, thread.rtid, NT_PRSTATUS, ret, &size, err);
}

int zt_stopped_set_regs(zt_stopped thread, const zt_regs *regs, zt_err *err)
{
    uint64_t size = sizeof *regs;
    return regset(PTRACE_SETREGSET, thread.rtid, NT_PRSTATUS, (void *)regs, &size, err);
}

int zt_stopped_poke(zt_stopped thread, uint64_t address, const unsigned char *bytes, uint64_t size, zt_err *err)
{
    for (uint64_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, size - at < 8 ? size - at : 8);
        if (request(PTRACE_POKEDATA, thread.rtid, address + at, (const void *)word))
            return zt_fail_os(err, "ptrace(PTRACE_POKEDATA)");
    }
    return 0;
}

enum { LEGACY_XSTATE = 512 }; /* what FXSAVE keeps: all that there is on a processor without XSAVE */

int zt_stopped_get_xstate(zt_stopped thread, void *ret, uint64_t capacity, uint64_t *ret_size, zt_err *err)
{
    *ret_size = capacity;
    if (!regset(PTRACE_GETREGSET, thread.rtid, NT_X86_XSTATE, ret, ret_size, err))
        return 0;
    if (err->os_errno != ENODEV)
        return -1;
    *ret_size = LEGACY_XSTATE;
    return regset(PTRACE_GETREGSET, thread.rtid, NT_PRFPREG, ret, ret_size, err);
}

int zt_stopped_set_xstate(zt_stopped thread, const void *state, uint64_t size, zt_err *err)
{
    unsigned long kind = size == LEGACY_XSTATE ? NT_PRFPREG : NT_X86_XSTATE;
    return regset(PTRACE_SETREGSET, thread.rtid, kind, (void *)state, &size, err);
}

int zt_stopped_entering(zt_stopped thread, bool *ret, zt_err *err)
{
    struct ptrace_syscall_info info = {0};
    if (request(PTRACE_GET_SYSCALL_INFO, thread.rtid, sizeof info, &info) < 0)
        return zt_fail_os(err, "ptrace(PTRACE_GET_SYSCALL_INFO)");
    *ret = info.op == PTRACE_SYSCALL_INFO_ENTRY;
    return 0;
}

int zt_stopped_get_siginfo(zt_stopped thread, siginfo_t *ret, zt_err *err)
{
    if (request(PTRACE_GETSIGINFO, thread.rtid, 0, ret))
        return zt_fail_os(err, "ptrace(PTRACE_GETSIGINFO)");
    return 0;
}

int zt_stopped_set_siginfo(zt_stopped thread, const siginfo_t *info, zt_err *err)
{
    if (request(PTRACE_SETSIGINFO, thread.rtid, 0, info))
        return zt_fail_os(err, "ptrace(PTRACE_SETSIGINFO)");
    return 0;
}

int zt_stopped_get_mask(zt_stopped thread, uint64_t *ret, zt_err *err)
{
    if (request(PTRACE_GETSIGMASK, thread.rtid, sizeof *ret, ret))
        return zt_fail_os(err, "ptrace(PTRACE_GETSIGMASK)");
    return 0;
}

int zt_stopped_set_mask(zt_stopped thread, uint64_t mask, zt_err *err)
{
    if (request(PTRACE_SETSIGMASK, thread.rtid, sizeof mask, &mask))
        return zt_fail_os(err, "ptrace(PTRACE_SETSIGMASK)");
    return 0;
}

int zt_stopped_peek_siginfo(zt_stopped thread, bool shared, void *ret, int32_t most, int32_t *ret_count, zt_err *err)
{
    struct ptrace_peeksiginfo_args from = {
        .flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
        .nr = most,
    };
    long got = request(PTRACE_PEEKSIGINFO, thread.rtid, (unsigned long)&from, ret);
    if (got < 0)
        return zt_fail_os(err, "ptrace(PTRACE_PEEKSIGINFO)");
    *ret_count = (int32_t)got;
    return 0;
}

int zt_stopped_get_rseq(zt_stopped thread, zt_rseq *ret, zt_err *err)
{
    memset(ret, 0, sizeof *ret);
    long got = request(PTRACE_GET_RSEQ_CONFIGURATION, thread.rtid, sizeof *ret, ret);
    if (got < 0 && errno != EIO && errno != EINVAL)
        return zt_fail_os(err, "ptrace(PTRACE_GET_RSEQ_CONFIGURATION)");
    if (got < 0) /* a kernel before 5.13, or without rseq */
        ret->flags = ZT_RSEQ_UNTOLD;
    return 0;
}
