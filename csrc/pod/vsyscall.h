/* The vsyscall page: three calls at addresses that never change, which old programs make (before glibc 2.14).
 * A kernel may lack it (vsyscall=none, Debian's own choice), and then they are faults; in a pod that has moved,
 * from where they may have been none, we answer. */
#pragma once
#include <signal.h>

#include "pod.h"

/* A thread stopped for a SIGSEGV. *ret: it had made such a call, and has its answer: it goes on without a signal. */
int zt_vsyscall_answer(zt_pod *pod, zt_task *task, const siginfo_t *info, bool *ret, zt_err *err);
