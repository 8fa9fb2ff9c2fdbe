/* System calls of tracees: what the table and the rooms say to them, on the way in and out. */
#pragma once
#include "../pod/pod.h"
#include "onward.h"

/* On the way into a call that the filter traps. */
int zt_loop_enter(zt_pod *pod, zt_task *task, zt_onward *ret, zt_err *err);
/* On the way in or out of a call that is watched. */
int zt_loop_call(zt_pod *pod, zt_task *task, zt_err *err);
/* What is to become of a call: what the row says, and its room. */
zt_verdict zt_loop_decide(zt_pod *pod, zt_task *task, const zt_row *row, zt_call *call);
