/* Stops of tracees: what kind, and what may be done to a thread that is in one.
 *
 * zt_stopped names a thread that is in a ptrace stop; only such a thread can be read, written and
 * resumed. ESRCH from any of these means that it was killed meanwhile: ZT_ERR_GONE.
 *
 * A thread is *at rest* when its stop is a PTRACE_EVENT_STOP: it is on its way to user mode, inside
 * get_signal(). Registers set there get the kernel's own treatment of interrupted calls: a result
 * of -ERESTARTSYS in rax with the call's number in orig_rax is restarted, or becomes EINTR when a
 * handler runs, just as if nobody had looked (arch/x86/kernel/signal.c, arch_do_signal_or_restart). */
#pragma once
#include <signal.h>

#include "../arch/arch.h"
#include "../base/err.h"

typedef struct zt_stopped {
    int32_t rtid;
} zt_stopped;

typedef enum zt_stop_kind {
    ZT_STOP_EXITED,  /* gone: value is the wait status */
    ZT_STOP_REST,    /* PTRACE_EVENT_STOP: interrupted, or just born */
    ZT_STOP_GROUP,   /* PTRACE_EVENT_STOP of a group-stop: value is the signal */
    ZT_STOP_SECCOMP, /* on the way into a call that the filter traps */
    ZT_STOP_CALL,    /* on the way in or out of a call, as asked by ZT_TO_CALL */
    ZT_STOP_FORK,    /* made a process or thread: zt_stopped_message gives its rtid */
    ZT_STOP_VFORK,   /* the same, and waits for it to exec or exit */
    ZT_STOP_EXEC,    /* executed a program: zt_stopped_message gives its former rtid */
    ZT_STOP_ENDING,  /* about to end: the last stop, when seized with see_ends */
    ZT_STOP_SIGNAL,  /* about to receive the signal in value */
    ZT_STOP_OTHER,   /* nothing that we asked for */
} zt_stop_kind;

typedef struct zt_stop {
    int32_t rtid;
    zt_stop_kind kind;
    int32_t value;
} zt_stop;

zt_stop zt_stop_of(int32_t rtid, int wait_status);

/* ZT_ERR_GONE of a stop that is an end. The kernel tells it once: so the error does, to the loop. */
int zt_stop_fail_ended(zt_stop stop, zt_err *err);

/* About to get a signal that its next instruction would raise again? */
static inline bool zt_stop_is_fault(zt_stop stop)
{
    return stop.kind == ZT_STOP_SIGNAL &&
           (stop.value == SIGSEGV || stop.value == SIGBUS || stop.value == SIGILL || stop.value == SIGFPE);
}

/* Wait for the next stop of one thread that is on its way there. ZT_ERR_TIMEOUT when it sleeps instead,
 * or spends its time in user mode, so many seconds on end; one that runs in the kernel or waits for a
 * disk gets there, or ends by a signal that nobody can block. */
#define ZT_STUCK_AFTER_S 15
int zt_stop_wait(int32_t rtid, zt_stop *ret, zt_err *err);

/* The same for one of which can be seen that it gets on: as long as `look` gives ever new numbers, it
 * may also sleep; ZT_ERR_TIMEOUT when it gives the same one for that long, whatever it is at. */
typedef struct zt_progress {
    int32_t patience_ms;
    uint64_t (*look)(const void *context);
    const void *context;
} zt_progress;
int zt_stop_wait_progress(int32_t rtid, const zt_progress *progress, zt_stop *ret, zt_err *err);

/* The same for one that may not stop: ZT_ERR_TIMEOUT after so long. */
int zt_stop_wait_for(int32_t rtid, int32_t timeout_ms, zt_stop *ret, zt_err *err);

/* Its next stop if that is there by now; else *ret stays as it is. */
int zt_stop_take(int32_t rtid, zt_stop *ret, zt_err *err);

typedef enum zt_resume {
    ZT_TO_EVENT,  /* until something that we trap */
    ZT_TO_CALL,   /* until the next way in or out of a call, too */
    ZT_TO_STEP,   /* one instruction */
    ZT_TO_LISTEN, /* stay in the group-stop, but hear of its end */
} zt_resume;

#define ZT_PTRACE_OPTIONS                                                                                              \
    (PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |    \
     PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

/* With see_ends, it and what it makes stop also before they end. */
int zt_seize(int32_t rtid, bool see_ends, zt_err *err);
int zt_interrupt(int32_t rtid, zt_err *err);

int zt_stopped_resume(zt_stopped thread, zt_resume how, int signal, zt_err *err);
/* It is nobody's tracee any more, and goes on; in a group-stop it stays. */
int zt_stopped_detach(zt_stopped thread, int signal, zt_err *err);
/* Bring a thread from any stop to rest; false if it ended instead (then *ret is its end). */
int zt_stopped_rest(zt_stopped thread, zt_stop *ret, zt_err *err);
int zt_stopped_message(zt_stopped thread, unsigned long *ret, zt_err *err);

int zt_stopped_get_regs(zt_stopped thread, zt_regs *ret, zt_err *err);
int zt_stopped_set_regs(zt_stopped thread, const zt_regs *regs, zt_err *err);
/* Write into its memory, whatever its protection is; what follows up to a multiple of 8 becomes 0. */
int zt_stopped_poke(zt_stopped thread, uint64_t address, const unsigned char *bytes, uint64_t size, zt_err *err);
int zt_stopped_get_xstate(zt_stopped thread, void *ret, uint64_t capacity, uint64_t *ret_size, zt_err *err);
int zt_stopped_set_xstate(zt_stopped thread, const void *state, uint64_t size, zt_err *err);

/* In a ZT_STOP_CALL: on the way in? */
int zt_stopped_entering(zt_stopped thread, bool *ret, zt_err *err);

/* The signal that a ZT_STOP_SIGNAL is about. */
int zt_stopped_get_siginfo(zt_stopped thread, siginfo_t *ret, zt_err *err);
int zt_stopped_set_siginfo(zt_stopped thread, const siginfo_t *info, zt_err *err);

/* The signal mask as the program set it, also inside a call that has a temporary one (sigsuspend). */
int zt_stopped_get_mask(zt_stopped thread, uint64_t *ret, zt_err *err);
int zt_stopped_set_mask(zt_stopped thread, uint64_t mask, zt_err *err);

/* The siginfo (128 bytes each) of pending signals. */
int zt_stopped_peek_siginfo(zt_stopped thread, bool shared, void *ret, int32_t most, int32_t *ret_count, zt_err *err);
int zt_stopped_get_rseq(zt_stopped thread, zt_rseq *ret, zt_err *err);
