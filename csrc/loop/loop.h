/* The tracer's loop: takes stops as they come and calls the rooms.
 *
 *   loop.c      which kind of stop, and how the thread goes on
 *   calls.c     system calls: the table's translation, hooks, answers
 *   births.c    fork, vfork and clone
 *   ends.c      exec and exit
 *   freeze.c    freeze, thaw, kill
 *   launch.c    the first process
 *   program.c   syscall programs, and other things done to threads of a frozen pod
 *
 * Deaths can come at any moment, so every ptrace request may answer ESRCH (ZT_ERR_GONE). That is
 * no error of ours: the thread's end is reported by a later wait, and the stop is forgotten. */
#pragma once
#include "../pod/pod.h"

/* Handle one stop. -1 only for errors that are not the death of the tracee. */
int zt_loop_dispatch(zt_pod *pod, zt_stop stop, zt_err *err);
/* Take one stop and handle it, if there is one. 1: took one, 0: none now, -1 with err.
 * `options` is WNOHANG, or 0 to wait for one. */
int zt_loop_step(zt_pod *pod, int options, zt_err *err);

/* Let a stopped thread run, to its next stop of interest. */
int zt_loop_go_on(zt_pod *pod, zt_task *task, int signal, zt_err *err);
/* It is at rest: stay so in a frozen pod, else go on, or go on waiting in a group-stop. */
int zt_loop_at_rest(zt_pod *pod, zt_task *task, int group_stop, zt_err *err);
/* Shall it come to rest? Not between vfork and exec: it runs on its maker's memory. */
static inline bool zt_loop_shall_rest(const zt_pod *pod, const zt_task *task)
{
    return pod->freezing && !task->process->vfork_maker;
}

/* On the way into a call that the filter traps. */
int zt_loop_enter(zt_pod *pod, zt_task *task, zt_err *err);
/* On the way in or out of a call that is watched. */
int zt_loop_call(zt_pod *pod, zt_task *task, zt_err *err);

/* Register the child of a fork event; its first stop may still be to come. */
int zt_loop_forked(zt_pod *pod, zt_task *maker, bool vfork, zt_err *err);
/* Take in newborn processes that nobody will tell of, as their maker has died. */
int zt_loop_adopt_forsaken(zt_pod *pod, zt_err *err);

/* Bring a program that was just executed to rest, with a stub. */
int zt_loop_executed(zt_pod *pod, zt_stop stop, zt_err *err);
void zt_loop_ended(zt_pod *pod, zt_task *task, int wait_status);
/* Children of ours that ended before they became ours. */
void zt_loop_reap_orphans(zt_pod *pod);
