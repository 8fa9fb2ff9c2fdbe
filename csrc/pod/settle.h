/* What must not be frozen halfway.
 *
 * A thread inside a restartable sequence would lose the kernel's abort when its registers are
 * replaced: it goes to its abort address, as at any preemption (rseq(2)). A thread inside a vDSO
 * would come back, on another host, into code that is not there: it is stepped out first. */
#pragma once
#include "pod.h"

int zt_settle(zt_task *task, zt_err *err);
