/* Programs executed, and threads ended. Either may free a thread that waited in vfork: it is
 * *ret_freed, and NULL otherwise. */
#pragma once
#include "../pod/pod.h"
#include "onward.h"

/* Give a program that was just executed a stub. *ret_stop is the stop that it is in then: at rest in a pod
 * that is being frozen, or when it was stopped, else of another kind; or its end. ZT_ERR_UNFIT: it cannot be
 * in a pod, and was killed. */
int zt_loop_executed(zt_pod *pod, zt_stop stop, zt_task **ret_task, zt_stop *ret_stop, zt_task **ret_freed,
                     zt_err *err);
void zt_loop_ended(zt_pod *pod, zt_task *task, int wait_status, zt_task **ret_freed);
/* It has executed or ended: who waited for that, or NULL. */
zt_task *zt_loop_free_maker(zt_task *task);
/* What is to be told of the end of a process, if anything is. */
void zt_loop_tell_end(zt_pod *pod, int32_t rtid, int wait_status);
/* Children of ours that ended before they became ours. */
void zt_loop_reap_inherited(zt_pod *pod);
