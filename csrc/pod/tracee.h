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
    ZT_TASK_REST,      /* at rest: the pod is frozen, or was while the thread waits for such a child */
    ZT_TASK_ENDED,     /* a leader that ended before its other threads: it has no stop and no registers */
} zt_task_state;

/* What becomes of a call that came by a listener, and that somebody has to be attached for. */
typedef enum zt_taken {
    ZT_TAKEN_NOT = 0,
    ZT_TAKEN_EXEC,   /* it goes on; a new program stops, and one that could not be executed comes to rest */
    ZT_TAKEN_END,    /* it goes on, and comes to rest with its result */
    ZT_TAKEN_ISSUE,  /* it is given up, the thread comes to rest, and makes it from the stub, as issued */
    ZT_TAKEN_ANSWER, /* it is answered, and the thread comes to rest */
    ZT_TAKEN_LEAVE,  /* it is given up, and made again when we have left the thread */
} zt_taken;

typedef enum zt_pi_wait {
    ZT_PI_NONE = 0,
    ZT_PI_LOCK,    /* to own the futex */
    ZT_PI_REQUEUE, /* to be moved to the futex, by another futex */
} zt_pi_wait;

/* For what a call is made that goes on with one that was cut short. */
typedef enum zt_step {
    ZT_STEP_AGAIN, /* as it was asked, for the time that was left */
    ZT_STEP_ASK,   /* its descriptor is asked what it is */
    ZT_STEP_PIECE, /* a piece of the rest: one more step follows */
    ZT_STEP_REST,  /* all of the rest */
} zt_step;

/* The first version of struct clone_args (include/uapi/linux/sched.h). */
typedef struct zt_clone_asked {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
} zt_clone_asked;

/* What threads and processes share as clone(2) was asked to: who has the same number has it together. */
typedef struct zt_shares {
    int32_t memory, files, directory, handlers;
} zt_shares;

/* Where a futex is, the same for all who mean the same one. */
typedef struct zt_futex_key {
    uint64_t object;  /* inode of what is shared, or the process whose memory it is */
    uint64_t device;  /* 0: of private memory */
    uint64_t at;      /* offset in the object, or address */
} zt_futex_key;

/* Shared by the threads of a process. */
typedef struct zt_process {
    zt_rpid rpid;
    zt_vpid vpid;
    int32_t threads;
    int32_t next_slot;          /* of the scratch area */
    bool vfork_in_kernel;       /* whose maker waits where it can be neither frozen nor looked at */
    int32_t dumpable; /* PR_GET_DUMPABLE as it is told; 1: as the kernel has it, which is 1 but after changes of ids */
    int32_t segv; /* how its program began with SIGSEGV: pod/cpu_level.c */
    bool may_leave_children; /* it has made some: those that it does not wait for are ours when it ends */
    bool knows_clock; /* zt_pod_set_clock has told it */
    bool ready; /* has a stub (false between exec and its installation) */
    bool whole; /* its stub was looked at since it last ran */
    zt_process_past *past; /* NULL: none. Owned; see pod/past.h */
} zt_process;

/* A thread's own. */
typedef struct zt_task {
    struct zt_task *next, *previous;
    zt_process *process;
    zt_rpid rtid;
    zt_vpid vtid;
    zt_task_state state;
    bool known; /* its maker's event was seen */
    bool newborn; /* it has not come to rest before: it is in no call that was interrupted */
    int32_t group_stop; /* at rest in the group-stop by this signal */
    int32_t scratch_slot;
    zt_shares shares;
    struct zt_task *vfork_maker; /* waits for us to execute or end */
    bool awaits_child; /* is somebody's vfork_maker */
    zt_thread_past *past; /* NULL: none. Owned; see pod/past.h */

    /* Inherited at clone. */
    bool landlocked; /* in a sandbox of its own: resources/landlock.c */
    int32_t filter; /* its newest seccomp filter of its own, by number; 0: none. See pod/seccomp.h */
    bool no_new_privs; /* as it is told; for the kernel it always is so */

    bool loose; /* known, and not attached */
    bool hears; /* stays attached until its next stop */
    bool leaves; /* is to be attached no more, although its maker waits for it */
    zt_taken taken; /* of the call that it is in ... */
    int asked_by; /* ... the listener, -1 when it has been told what becomes of it, ... */
    uint64_t asked_as; /* ... and its number there */

    bool ends_alone; /* at the next signal: zt_seccomp_end_strict */
    int32_t next_filter; /* that it is about to put on; 0: none */

    /* The call that it is in, when we want to see its end. */
    bool in_call;
    zt_call call;
    const zt_row *row;
    zt_clone_asked clone_asked; /* by the clone3 that it is in */
    zt_vpid made; /* the child that it just made, if its number is not the kernel's */

    /* The priority-inheritance futex that it waits for: pod/pi.h. */
    struct {
        zt_pi_wait wait;
        bool granted; /* it is the owner now, and on its way to be told */
        zt_futex_key key;
        uint64_t word; /* address of the futex in its own memory */
        uint64_t number; /* in the order of arrival */
        zt_futex_key from; /* of ZT_PI_REQUEUE: where it waits until then */
    } pi;

    /* The call that it is in was interrupted and is made again, or what is left of it: blocked/. */
    struct {
        bool active;
        bool entered; /* its way in was seen */
        uint64_t rip, rsp; /* where it is made, to tell it from calls of a handler that runs before */
        int64_t found; /* what it had answered */
        int64_t done; /* how much of it is done by now; 0: nothing, it is made as it was asked */
        int64_t left_ns; /* that it may take from when it runs; -1: untimed */
        bool ended_by_eintr; /* made again, it has just shown an interruption once more: deadline_ns is its */
        zt_call call; /* as the program made it, and as it is issued now: */
        int32_t issued_nr;
        zt_step step;
        int64_t step_size; /* what a ZT_STEP_PIECE is to move */
        uint16_t on, asked; /* what its descriptor is, ZT_ON_*; ZT_ASKED_* */
        int64_t minimum; /* of a ZT_ON_TTY_MINIMUM */
    } reissue;
    /* The call that the kernel goes on with as restart_syscall: blocked/restarted.h. 0: none was seen. */
    struct {
        int32_t nr;
        uint64_t args[6];
    } restart;
    /* A program of ours was given up in it, and it has not come back: then it is to be this. */
    struct {
        bool active;
        zt_regs regs;
        uint64_t mask;
    } late;
    bool awaits_freeze; /* rests until the next freeze is over */
    bool interrupted; /* at rest in a call that shows it */
    bool woken; /* perhaps, by a signal that another thread takes: blocked/woken.h. To be brought to rest */
    int64_t queued; /* when it came to the queue of waiters that it is in: the lower, the earlier; 0: it is in none */
    int64_t queued_start; /* what the kernel says of when it fell asleep there, if we saw it do so */
    int64_t deadline_ns; /* of its timed call, host's monotonic clock; 0: it is in none */
    int64_t control_size; /* of the buffer of the recvmsg that it is in, + 1; 0: not known */
} zt_task;

static inline zt_stopped zt_task_stopped(const zt_task *task)
{
    return (zt_stopped){task->rtid.n};
}
