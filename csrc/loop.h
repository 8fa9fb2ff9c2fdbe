/* The tracer's loop: takes stops as they come and calls the rooms. */
#pragma once
#include "pod/pod.h"

/* Handle one stop. -1 only for errors that are not the death of the tracee. */
int zt_loop_dispatch(zt_pod *pod, zt_stop stop, zt_err *err);

/* Bring a program that was just executed to rest, with a stub. */
int zt_loop_executed(zt_pod *pod, zt_stop stop, zt_err *err);

/* Register the child of a fork event; its first stop may still be to come. */
int zt_loop_forked(zt_pod *pod, zt_task *maker, bool vfork, zt_err *err);

void zt_loop_ended(zt_pod *pod, zt_task *task, int wait_status);
