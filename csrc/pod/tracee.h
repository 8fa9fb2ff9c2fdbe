/* What we know of the threads and processes of a pod. Fields are grouped by who shares them. */
#pragma once
#include "../base/idtable.h"
#include "../ptrace/stop.h"
#include "call.h"

typedef enum zt_task_state {
    ZT_TASK_RUNNING,   /* also: asleep in a call */
    ZT_TASK_LISTENING, /* in a group-stop */
    ZT_TASK_NEWBORN,   /* stopped before its first instruction, its maker's event not seen yet */
    ZT_TASK_VFORK,     /* held in its fork event until its child has executed or ended */
    ZT_TASK_REST,      /* at rest, while the pod is frozen */
    ZT_TASK_ENDED,     /* a leader that ended before its other threads: it has no stop and no registers */
} zt_task_state;

/* The head of struct clone_args (include/uapi/linux/sched.h). */
typedef struct zt_clone_asked {
    uint64_t flags, pidfd, child_tid, parent_tid;
} zt_clone_asked;

/* Shared by the threads of a process. */
typedef struct zt_process {
    zt_rpid rpid;
    zt_vpid vpid;
    int32_t threads;
    int32_t next_slot;          /* of the scratch area */
    struct zt_task *vfork_maker; /* waits for us to execute or end */
    int32_t dumpable;           /* PR_GET_DUMPABLE as it is told; for the kernel it is always 1 */
    bool ready;                 /* has a stub (false between exec and its installation) */
    zt_process_past *past;      /* NULL: none. Owned; see pod/past.h */
} zt_process;

/* A thread's own. */
typedef struct zt_task {
    struct zt_task *next, *previous;
    zt_process *process;
    zt_rpid rtid;
    zt_vpid vtid;
    zt_task_state state;
    bool known;       /* its maker's event was seen */
    int32_t group_stop; /* at rest in the group-stop by this signal */
    int32_t scratch_slot;
    zt_thread_past *past; /* NULL: none. Owned; see pod/past.h */

    /* Inherited at clone. */
    bool landlocked; /* in a sandbox of its own: resources/landlock.c */

    /* The call that it is in, when we want to see its end. */
    bool in_call;
    zt_call call;
    const zt_row *row;
    zt_clone_asked clone_asked; /* by the clone3 that it is in */
    zt_vpid made;      /* the child that it just made, if its number is not the kernel's */

    /* A call that a freeze interrupted goes on with the time that was left: see pod/blocked.h. */
    struct {
        bool active;
        bool entered; /* its way in was seen */
        int64_t done;      /* bytes that it had moved already */
        int64_t left_ns;   /* that it may take from when it runs; -1: untimed */
        uint64_t rip, rsp; /* where it is made, to tell it from calls of a handler that runs before */
        zt_call call;
    } reissue;
    int32_t restart_nr;  /* the call that the kernel goes on with as restart_syscall */
    bool interrupted;    /* by the freeze alone, in a call that shows it */
    int64_t deadline_ns; /* of its timed call, host's monotonic clock; 0: it is in none */
} zt_task;

static inline zt_stopped zt_task_stopped(const zt_task *task)
{
    return (zt_stopped){task->rtid.n};
}
