/* Who ends a pod that nobody is attached to, if we are killed.
 *
 * The kernel ends tracees with their tracer (PTRACE_O_EXITKILL), and no others. So there are two *guardians*, small
 * processes of ours that are of no pod. When the kernel tells one that we are gone (parent-death signal), it ends
 * all that has the pod's mark (vdso/params.h), until a look at all processes of the host finds none; it needs neither
 * us nor the other one for that. A program that was executed while a relative traced it has no mark: it goes with
 * those of its session, all of which began in the pod. If one of them is killed while we live, we end the pod. So it takes the end of all
 * three, before one of them can do anything, for the pod to live on.
 *
 * They share our descriptors, and so keep the listeners open until then; and not our memory, which an end for want
 * of memory takes away from all who have it. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

enum { ZT_GUARDIANS = 2 };

typedef struct zt_guardian {
    pid_t pid; /* 0: none */
    int pidfd; /* readable when it has ended; -1: none */
    int proc;  /* /proc, for it */
} zt_guardian;

void zt_guardians_create(zt_guardian guardians[ZT_GUARDIANS]);
void zt_guardians_destroy(zt_guardian guardians[ZT_GUARDIANS]);
/* On the tracer's thread. -1: there can be none here. */
int zt_guardians_begin(zt_guardian guardians[ZT_GUARDIANS], uint64_t mark);
