/* What restored threads and processes had used before they were restored: CPU time, page faults ...
 *
 * The kernel counts anew what is made anew. What calls tell is what it counts plus a past, which the
 * upper half of the room `cpu_time` sets when all else is restored. Whatever is made by the pod itself
 * afterwards has none. As in the kernel, a child's becomes its parent's when that has waited for it. */
#pragma once
#include <sys/resource.h>

#include "pod.h"

/* Of a process, also when it has ended and nobody has waited for it, or NULL. */
zt_process_past *zt_past_of(zt_pod *pod, zt_rpid rpid);

/* Of the clock that a thread names, in its own numbers (clock_getcpuclockid(3)). */
int64_t zt_past_of_clock(zt_pod *pod, const zt_task *task, int32_t clock);

void zt_past_add(const zt_usage *past, struct rusage *usage);

/* `parent` has waited for a child. */
void zt_past_waited(zt_pod *pod, zt_process *parent, zt_rpid child);

/* A process was just forked: it has no past, and the limit of its maker's on CPU time is whole. */
void zt_past_begin(const zt_process *maker, const zt_process *child);
/* A thread executes a program: `task` is what it is from now on. */
void zt_past_take(zt_task *task, zt_task *former);
/* About to get a signal: is it told of a limit on CPU time that it was to be killed by? */
bool zt_past_is_used_up(const zt_task *task, const siginfo_t *info);
