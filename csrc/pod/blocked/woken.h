/* Threads that a signal has woken which another thread takes.
 *
 * The kernel queues a signal that does nothing for a program if that is traced, and wakes a thread for
 * it, which is not always the one to take it: one that is stopped by us then gets there first when it
 * goes on, and so does one that looks for signals for another reason. The one that was woken finds
 * nothing, and has no stop: its call would show an interruption that nothing has caused.
 *
 * So it is interrupted too, on its way out, and its call made again. In time for sure when the other
 * one was stopped by us; when the two raced in the kernel, unless it has left the kernel already.
 *
 * Only a call that answers EINTR is made again so: one that has moved less than it was asked for may have
 * found no more, whoever was woken. Not told apart, then: a write that such a signal has cut short. */
#pragma once
#include "../pod.h"

/* A thread that is stopped is about to run on, and will take what waits for its process. */
int zt_woken_before_run(zt_pod *pod, zt_task *task, zt_err *err);

/* It is about to get this signal, or not to get one that is kept out. */
void zt_woken_by(zt_pod *pod, zt_task *taker, const siginfo_t *info);
