/* Who belongs to a pod whose threads are attached only while something needs it.
 *
 * Nobody tells of births and ends there: the kernel knows, and is asked when somebody wants to know. A process of
 * the pod has its mark in its stub (vdso/params.h): that comes by execve, while it is attached, and children
 * inherit it. One without a mark, as a zombie is, is of the pod if its parent is. All of them descend from us:
 * orphans are ours, as we are their subreaper. */
#pragma once
#include "pod.h"

/* Is it a thread or process of the pod, or a zombie of one? */
bool zt_members_have(zt_pod *pod, int32_t rtid);
/* Is it the number of a group or session of such? */
bool zt_members_have_group(zt_pod *pod, int32_t id);
/* The process of a thread; 0: it is gone. */
int32_t zt_members_process_of(int32_t rtid);

/* All threads, each once: as of when it was looked at. Those born meanwhile may be missed. What `seen` says, unless
 * that is 0, ends it, and is what this says. */
typedef int zt_member_seen(void *context, int32_t rpid, int32_t rtid);
int zt_members_each(zt_pod *pod, zt_member_seen *seen, void *context);

/* A record of a thread that has none yet, as it is found. NULL: it is gone. */
zt_task *zt_members_learn(zt_pod *pod, int32_t rtid);

/* SIGKILL to all. How many got it. */
int32_t zt_members_kill(zt_pod *pod);

/* Zombies of the pod that have become ours. */
void zt_members_reap(zt_pod *pod);
