/* Programs executed, and threads ended. Either may free a thread that waited in vfork: it is
 * *ret_freed, and NULL otherwise. */
#pragma once
#include "../pod/pod.h"
#include "onward.h"

/* Bring a program that was just executed to rest, with a stub. *ret_rest is the stop that it is in
 * then, or its end. ZT_ERR_UNFIT: it cannot be in a pod, and was killed. */
int zt_loop_executed(zt_pod *pod, zt_stop stop, zt_task **ret_task, zt_stop *ret_rest, zt_task **ret_freed,
                     zt_err *err);
void zt_loop_ended(zt_pod *pod, zt_task *task, int wait_status, zt_task **ret_freed);
/* Children of ours that ended before they became ours. */
void zt_loop_reap_inherited(zt_pod *pod);
