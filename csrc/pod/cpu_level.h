/* A pod may see less of the processor than there is: an x86-64 level (2, 3 or 4; 0: all there is).
 *
 * Its processes run with CPUID faulting, where the processor has it: CPUID is a fault then, which we
 * answer. The kernel forgets that at exec, and passes it on to children. A pod that began where the
 * processor has none goes on without: its programs have seen all of it. What cannot be hidden is what
 * it does to a thread that asks while it blocks or ignores SIGSEGV: it ends both (force_sig). What a
 * program has from its maker is put back, for that is when programs ask: as they start. */
#pragma once
#include <signal.h>

#include "pod.h"

/* For a program that was just executed and is at rest; its stub is installed. */
int zt_cpu_level_begin(zt_pod *pod, zt_task *task, zt_err *err);

/* A thread stopped for a SIGSEGV. *ret: it had asked for CPUID and has its answer, so that it goes on
 * without a signal. */
int zt_cpu_level_answer(zt_pod *pod, zt_task *task, const siginfo_t *info, bool *ret, zt_err *err);
