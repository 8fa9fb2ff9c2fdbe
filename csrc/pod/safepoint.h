/* Safe points: where a thread may be frozen.
 *
 * A thread inside a restartable sequence would lose the kernel's abort when its registers are
 * replaced: it goes to its abort address, as at any preemption (rseq(2)). A thread inside a vDSO
 * would come back, on another host, into code that is not there: it is stepped out first. */
#pragma once
#include <signal.h>

#include "pod.h"

/* Bring a thread that is at rest to a safe point. */
int zt_pod_to_safe_point(zt_task *task, zt_err *err);

/* A thread with these registers is about to get a signal, which is no fault: let a handler not interrupt a
 * vDSO, as it would return there, whatever the pod's clock is by then. */
int zt_pod_signal_behind_vdso(zt_task *task, zt_regs *regs, const siginfo_t *info, zt_err *err);
