/* How a thread goes on after a stop: what a handler decides, and the loop does.
 *
 *   births.c    fork, vfork and clone
 *   calls.c     system calls: the table's translation, hooks, answers
 *   ends.c      exec and exit
 *     ^           ^
 *     |         looker.c   calls that need no stop, on a thread beside the tracer's
 *     |         attach.c   threads that nobody is attached to, and those that are to be such
 *   loop.c      which kind of stop, who handles it, and who runs on; follow.c: on which processor
 *     ^
 *   freeze.c    freeze, thaw, kill
 *   launch.c    the first process
 *   program.c   syscall programs, and other things done to threads of a frozen pod
 *
 * Handlers use nothing of the loop and resume nobody: they change what is known and what is in
 * registers, and say what is to happen.
 *
 * Deaths can come at any moment, so every ptrace request may answer ESRCH (ZT_ERR_GONE). That is
 * no error of ours: the thread's end is reported by a later wait, and the stop is forgotten. Any
 * other error of a handler leaves a thread that is neither stopped nor running for us: the loop
 * ends with it, and whoever runs the loop ends the pod and says why. */
#pragma once

typedef enum zt_onward {
    ZT_ONWARD_RUN,  /* on, to the next stop of interest */
    ZT_ONWARD_HOLD, /* it stays in this stop until something else lets it go */
    ZT_ONWARD_RUN_AFTER_ENDS, /* on, but first whatever has ended is to be seen to have ended */
} zt_onward;
