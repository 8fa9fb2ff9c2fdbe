/* Calls that are looked at without a stop, by seccomp's notifications (SECCOMP_RET_USER_NOTIF).
 *
 * A call that is looked at (is_looked and looks_if of syscalls.py) gets a value or an errno from us, or goes on as
 * it is: nothing of that needs the thread's registers or the end of the call. Where the host can, such a call makes
 * no ptrace stop: a thread of ours, the *looker*, reads what it asks for and answers (loop/looker.c). That takes half
 * of a stop, and no idle processor is woken for it (SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP).
 *
 * Looker and tracer take turns at the pod: the tracer has it all the time but while it waits for something to
 * happen (zt_pod_pause, zt_pod_go_on), the looker from before it receives a notification until it has answered.
 * So in a thread's call either nothing of ours has begun, and then anything interrupts it (it shows -ERESTARTSYS,
 * and is made again); or it has been answered, and the thread goes on before it can stop.
 *
 * When a listener is closed, calls answer ENOSYS. If we are killed that must not come before the end of those who
 * make them, which is when the tracer's thread is gone (PTRACE_O_EXITKILL), and that may be after all else of us.
 * So there is a *holder*, which shares our descriptors, and is no thread of ours: it ends by its parent-death
 * signal, which the kernel sends right after it has killed the tracees (kernel/exit.c, forget_original_parent).
 *
 * Each program that we launch has a filter, and so a listener, of its own; who is born inherits both. */
#pragma once
#include <stdatomic.h>
#include <sys/types.h>

#include "../base/turn.h"
#include "guardian.h"

enum { ZT_LOOKER_MOST = 512 }; /* bytes of a notification, and of an answer: the kernel's may grow */

/* Linux 6.6, which may be newer than the headers. */
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS_ SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP_ 1ul

typedef struct zt_looker {
    bool begun;
    bool ends;
    atomic_int handed; /* so many calls wait for the tracer: loop/attach.h */
    zt_turn turn;
    int poke; /* eventfd: the looker is to look at all of this again */
    int *listeners;
    int count;
    pid_t holder; /* 0: none */
    void *stack; /* of the holder */
    zt_guardian guardians[ZT_GUARDIANS]; /* of a pod that detaches */
} zt_looker;

void zt_looker_create(zt_looker *looker);
void zt_looker_destroy(zt_looker *looker);

/* On the tracer's thread: have what it takes to look. -1: it cannot be had here. */
int zt_looker_prepare(zt_looker *looker);

/* Can this kernel do it? A container's seccomp profile, or a listener outside of us, may deny it all the same,
 * which a launch finds out. */
bool zt_looker_is_possible(void);

/* A new listener, which is the looker's from now on. 0, or -ENOMEM. */
int zt_looker_add(zt_looker *looker, int listener);
