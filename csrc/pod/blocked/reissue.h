/* Having a call made again, or what is left of it, when its thread runs on. */
#pragma once
#include "../pod.h"

/* Is it about to be made, and has not begun? */
bool zt_reissue_waits(const zt_task *task, const zt_regs *regs);

/* What is left of its time counts from now. */
void zt_reissue_begins(zt_task *task);

/* Until the deadline, which it has. */
int64_t zt_reissue_time_left(const zt_task *task);

/* Back to how the call was found: interrupted. */
int zt_reissue_unmake(zt_task *task, zt_regs *regs, zt_err *err);
