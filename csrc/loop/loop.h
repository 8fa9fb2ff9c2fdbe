/* The tracer's loop: takes stops as they come, has them handled, and lets threads run. It alone
 * resumes the threads of a pod (onward.h); a freeze and a thaw are done through it. */
#pragma once
#include "../pod/pod.h"

/* Handle one stop. -1 only for errors that are not the death of the tracee. */
int zt_loop_dispatch(zt_pod *pod, zt_stop stop, zt_err *err);
/* Take one stop and handle it, if there is one. 1: took one, 0: none now, -1 with err.
 * `options` is WNOHANG, or 0 to wait for one. */
int zt_loop_step(zt_pod *pod, int options, zt_err *err);

/* Do nothing for so long. */
void zt_loop_nap(zt_pod *pod, long ns);

/* It is at rest: stay so in a frozen pod, else go on, or go on waiting in a group-stop. */
int zt_loop_at_rest(zt_pod *pod, zt_task *task, int group_stop, zt_err *err);
/* In a pod that is being frozen: have those come to rest that are held after a vfork. */
int zt_loop_rest_makers(zt_pod *pod, zt_err *err);
/* A thread has executed a program: make it fit for a pod, and let go whom that frees. *ret_task is NULL
 * when it ended meanwhile. *ret_rests: it is at rest, as it always is in a pod that is being frozen. */
int zt_loop_on_exec(zt_pod *pod, zt_stop stop, zt_task **ret_task, bool *ret_rests, zt_err *err);
/* A thread in which a program of ours was given up has stopped at last: it becomes what it was. */
int zt_loop_on_late(zt_pod *pod, zt_task *task, zt_stop stop, zt_err *err);
/* A thread has ended, and with it perhaps its process. */
int zt_loop_on_end(zt_pod *pod, zt_task *task, int wait_status, zt_err *err);
/* After a ZT_ERR_GONE: if the end was taken from the kernel on the way, it is handled now. */
int zt_loop_take_end(zt_pod *pod, zt_err *err);
/* A thread is in its fork event: take in the child, and handle its first stop. *ret_hold: the maker
 * stays where it is until the child has executed or ended. */
int zt_loop_on_fork(zt_pod *pod, zt_task *maker, bool vfork, bool *ret_hold, zt_err *err);
