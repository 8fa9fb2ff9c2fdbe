/* Calls that wait, and what a freeze does to them.
 *
 * A freeze interrupts a waiting call. The kernel restarts most of them by itself; what is left is
 *  - calls that answer EINTR to any stop (epoll_wait and friends, signal(7)): made again;
 *  - calls that had moved a part (write, sendmsg, recv with MSG_WAITALL, sendfile ...), and answer how
 *    much that was: the rest is moved as well;
 *  - timed calls in a *restored* process, whose kernel-side restart block is gone: made again with the
 *    time that was left.
 * All this unless a signal of the program's own is the reason: then it shows what it natively shows.
 * Which call is what, is in its row: csrc/syscalls.py, `timeout`, `eintr` and `part`.
 *
 *   interrupted.c when a thread is stopped or let go: what interrupted it?
 *   reissue.c     a call, or what is left of it, is made again
 *   part.c        what had been moved, and the call that moves the rest
 *   descriptor.c  what a descriptor is: was the call cut short, or done?
 *   time_left.c   since when, and until when
 *   restarted.c   which call is it that the kernel goes on with?
 *   signals.c     is a signal the reason?
 *   woken.c       was it one that another thread has taken?
 *   seen.c        what /proc tells
 *
 * When a thread fell asleep is read from /proc/TID/sched before it is interrupted (the kernel
 * notes it in se.exec_start when a thread leaves the processor), so that no timed call has to be
 * trapped while the pod runs.
 *
 * Not told: how long a timed call had waited that was interrupted unseen (restarted.h) before its
 * first freeze. It may take its whole time from then on.
 * Not told apart: data that came with descriptors and ended a recv(MSG_WAITALL) without a control
 * buffer. Lost: the reset of a TCP connection that came while the rest waited; the next call finds
 * the end of the data, or EPIPE. */
#pragma once
#include "../pod.h"

/* How far each processor's task clock is from CLOCK_MONOTONIC; measured when first wanted. */
enum { ZT_BLOCKED_CPUS = 1024 };
typedef struct zt_blocked_clocks {
    bool measured[ZT_BLOCKED_CPUS];
    int64_t to_monotonic_ns[ZT_BLOCKED_CPUS]; /* 0: it cannot be told */
} zt_blocked_clocks;

/* Forget what was measured: the distances drift. Once, before a freeze. */
void zt_blocked_calibrate(zt_blocked_clocks *clocks);

/* Before the interrupt: note since when, and until when, a thread waits. */
void zt_blocked_look(zt_blocked_clocks *clocks, zt_task *task);

/* It was let go, and waits in its queue again: behind all that were there before. */
void zt_blocked_queued(zt_task *task);

/* At rest: note whether it is in a call that shows that it was interrupted. */
int zt_blocked_at_rest(zt_pod *pod, zt_task *task, zt_err *err);

/* All are at rest: has the freeze left an error in the socket `*ret_fd` of its call? Then that is to be
 * taken out (SO_ERROR), before it shows to anyone, and what it was is to be told. */
bool zt_blocked_left_error(const zt_task *task, int *ret_fd);
void zt_blocked_error_was(zt_task *task, int error);

/* About to get a signal. One that has no handler and does nothing would not have woken a thread that
 * nobody traces (kernel/signal.c, sig_ignored), so its call must not show it; any other one must.
 * 0: one that it does not get after all. `regs` are those that it has. */
int zt_blocked_at_signal(const zt_pod *pod, zt_task *task, int signal, zt_regs *regs, zt_err *err);

/* Before it runs again: have such a call made again. */
int zt_blocked_thaw(zt_task *task, zt_err *err);

/* On the way in or out of a call while one is made again. */
int zt_blocked_call(zt_task *task, bool entering, zt_err *err);

/* It has left a call. */
int zt_blocked_left_call(zt_task *task, zt_err *err);

/* Make the interrupted call that the registers show again, for so long. */
int zt_blocked_reissue(zt_task *task, int64_t left_ns, zt_err *err);

/* How long the call that the registers show may take in all; -1: for ever. */
int64_t zt_blocked_span(const zt_task *task, const zt_regs *regs);

/* How long the call that the thread was in would have gone on; -1: untimed, or not known. */
int64_t zt_blocked_left(const zt_pod *pod, const zt_task *task);

int64_t zt_now_ns(void);
