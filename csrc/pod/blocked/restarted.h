/* Which call does the kernel go on with as restart_syscall(2)?
 *
 * It does so after an interruption without a signal for the thread, by the result alone, and the number
 * of the call is lost from the registers. We see most of these: a freeze, a signal that does nothing.
 * Not all: a signal for the process wakes a thread, and another one takes it first. */
#pragma once
#include "../pod.h"

/* The call that was interrupted, seen at a stop. */
void zt_restarted_note(zt_task *task, int32_t nr, const uint64_t args[6]);

/* What was noted, if the arguments are its; else what the arguments can be of. */
int32_t zt_restarted_nr(const zt_task *task, const uint64_t args[6]);

/* The same while it is asleep, when the kernel tells where. */
int32_t zt_restarted_asleep_nr(const zt_task *task, const uint64_t args[6]);
