/* Attached only while something needs it: in a pod that `detaches` (pod/pod.h).
 *
 * What needs it is a freeze, a call whose end is to be seen or that is made otherwise than asked (csrc/syscalls.py,
 * WHY_ATTACHED), and a program that is executed. Such a call comes by the listener. The looker, which may not
 * attach, makes a record of the thread, hands it over, and wakes the tracer, which attaches, interrupts, and only
 * then says what becomes of the call; so the interrupt finds the thread when it is through with it. When nothing
 * needs it any more, which the loop finds when it would let the thread run, it is detached and forgotten. */
#pragma once
#include "../pod/pod.h"

/* Looker and tracer: more is to be done for this call than look at it. `asked_as` is its number at the listener. */
void zt_loop_hand_over(zt_pod *pod, zt_task *task, zt_taken what, int listener, uint64_t asked_as);
/* The tracer: attach those that were handed over. */
int zt_loop_take_over(zt_pod *pod, zt_err *err);
/* It is at rest. *ret_runs: it goes on to the end of a call that it makes from the stub. */
int zt_loop_taken_rests(zt_pod *pod, zt_task *task, zt_err *err);
/* It is made from the stub: has it been left behind there? */
bool zt_loop_is_issued(uint64_t rip);

/* Does nothing need it any more? Then it goes on by itself, with that signal, and is forgotten. */
bool zt_loop_may_leave(const zt_pod *pod, const zt_task *task);
int zt_loop_leave(zt_pod *pod, zt_task *task, int signal, zt_err *err);

/* What the pod wants, pod->wants_all. */
int zt_loop_attach_for_good(zt_pod *pod, zt_err *err);

/* Of those that have left while their makers wait for them, as they are traced by a relative: one that has executed
 * or ended since. Nobody tells us of that, so it is asked again and again (pod->apart). */
zt_task *zt_loop_next_apart(zt_pod *pod);

/* Attach all of the pod that is not; with `rest` they are interrupted. How many there were, or -1. */
int zt_loop_attach_all(zt_pod *pod, bool rest, zt_err *err);
