/* A pod: its threads, its ids, its clock. Owned by the tracer thread. */
#pragma once
#include <sched.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "../base/intmap.h"
#include "../base/wake.h"
#include "../ptrace/hostvdso.h"
#include "../ptrace/thread_maker.h"
#include "counts.h"
#include "ipc/ipc.h"
#include "looker.h"
#include "store.h"
#include "tracee.h"

/* Something that people are to be told. */
typedef struct zt_tiding {
    struct zt_tiding *next;
    char text[];
} zt_tiding;

/* Which processor the tracer is bound to, and why: loop/follow.h. */
typedef struct zt_follow_state {
    cpu_set_t own; /* where it may run, when it is bound to none */
    int32_t cpu, seen; /* -1: none */
    uint32_t stops;
    int64_t last_ns, looked_ns;
} zt_follow_state;

struct zt_pod {
    zt_task *tasks;       /* oldest first */
    zt_task *last_task;
    zt_intmap by_rtid;    /* -> zt_task */
    zt_intmap early;      /* rtid -> first wait status (+1) of a child whose maker's event comes later */
    int32_t task_count;
    zt_idtable ids;
    uint32_t sweep_ids_at; /* so many pairs */
    zt_intmap stood_in;    /* rpid of a process that has ended -> the vpid that it made calls for */
    bool moved;           /* ids are not the kernel's own: calls that show them are trapped too */
    bool notified; /* all calls of interest come by a listener, none by a stop: ptrace/filter.h */
    bool detaches; /* threads are attached only while something needs it: loop/attach.h */
    bool no_new_privs; /* it began so, from us */
    bool wants_all;    /* from now on all are to be attached, and stay so */
    int32_t apart; /* so many have left though their makers wait for them: loop/attach.h */
    bool lines_up;     /* within a thaw: nobody is detached yet */
    int64_t clock_offset_ns;
    zt_host_vdso host;
    zt_thread_maker thread_maker;
    uint64_t kept_out; /* signals: zt_pod_keep_out */
    int32_t kept_out_fd;
    int32_t cpu_level; /* 0: programs see all of the processor; pod/cpu_level.h */
    bool cpu_faulting; /* it began where CPUID can be a fault; elsewhere programs see all of it, for good */

    zt_rpid root;
    bool root_ended;
    int32_t root_status;
    zt_intmap awaited; /* rtid -> fd of a pipe: pod/awaited.h */

    bool catching_up;     /* loop.c: within the stop of a maker */
    atomic_bool freezing; /* threads that come to rest stay so */
    bool may_have_siblings; /* CLONE_PARENT: a process may leave children that it has not made */
    int32_t expected_vpid;
    int32_t last_share;
    zt_store store;
    zt_ipcs ipcs;
    bool senders;       /* processes stop where they are told who has sent a message (ptrace/filter.h) */
    bool wants_senders; /* they should, and do not yet: somebody awaits a freeze */
    bool addresses;     /* processes stop where they ask for a socket's addresses, which may be other ones */
    bool keeps;         /* processes stop where they accept a connection, which may be one that is kept */
    zt_intmap kept;     /* the inode of a listener that such wait at -> 1 */
    int32_t wants_kept; /* rtid of who is about to accept one, and awaits a freeze; 0: nobody */
    uint32_t socket_notes, tidy_sockets_at; /* see pod/socket_notes.h */
    uint32_t watch_notes, tidy_watches_at;  /* see resources/inotify.c */
    int32_t last_filter, filters, sweep_filters_at; /* see pod/seccomp.h */
    uint64_t pi_waits; /* so many began: pod/pi.h */
    zt_intmap ended_pasts; /* rpid -> zt_process_past of a process that nobody has waited for */
    zt_tiding *tidings; /* oldest first: zt_pod_tell */
    zt_counts counts;
    zt_err broken;      /* kind 0, or why the loop cannot go on: a thread is in a state that nobody knows */

    int32_t patience_ms; /* for one row of a program */
    int64_t frozen_at_ns; /* host's monotonic clock */
    pid_t tracer_tid;
    zt_follow_state follow;
    zt_looker looker;
    atomic_bool woken;
    atomic_bool cancelled; /* freezes are to give up */
};

zt_task *zt_pod_task(zt_pod *pod, int32_t rtid); /* NULL: not ours (yet) */

/* A new thread, in `process`, or in a process of its own when that is NULL. Chooses its vtid. */
zt_task *zt_pod_add_task(zt_pod *pod, zt_process *process, int32_t rtid);
void zt_pod_remove_task(zt_pod *pod, zt_task *task); /* and its process with its last thread */
void zt_pod_forget_task(zt_pod *pod, zt_task *task); /* the same of one that lives on, and that we need not know */

/* What was kept of a process that ended is wanted no more: somebody has waited for it (pod/past.h). */
void zt_pod_forget_past(zt_pod *pod, zt_rpid rpid);

/* Shall it come to rest? Not while its maker cannot, on whose memory it runs. */
static inline bool zt_pod_shall_rest(const zt_pod *pod, const zt_task *task)
{
    return (pod->freezing || task->awaits_freeze) && !task->process->vfork_in_kernel;
}

/* What a new task shares: with nobody, or with its maker as clone's flags say, until it executes. */
void zt_pod_made_by(zt_task *task, zt_task *maker, uint64_t clone_flags);
void zt_pod_has_executed(zt_pod *pod, zt_task *task);
void zt_pod_has_own_files(zt_pod *pod, zt_task *task);
void zt_pod_has_own_directory(zt_pod *pod, zt_task *task);

/* Tell whoever runs the pod something that he should know, as it is nobody's answer. */
void zt_pod_tell(zt_pod *pod, const char *text);

/* Give a task another number, before anyone has seen it. */
int zt_pod_set_vtid(zt_pod *pod, zt_task *task, zt_vpid vtid);

/* A process of the pod that holds this number, or a zombie of one, or NULL. */
zt_process *zt_pod_process(zt_pod *pod, zt_rpid rpid);

/* An id that a program gave: the real one, or {0} when there is no such thing in the pod. */
zt_rpid zt_pod_real(zt_pod *pod, int32_t virtual_id);
/* An id that the kernel gave: the virtual one; the supervisor is 1; {0} for anything outside. */
zt_vpid zt_pod_virtual(zt_pod *pod, int32_t real_id);

/* The process that a socket tells as its peer: also one that has ended, whose number the kernel keeps
 * with the socket. {0} for one that never was in the pod. */
zt_vpid zt_pod_peer(zt_pod *pod, int32_t real_id);
int zt_pod_stood_in(zt_pod *pod, zt_vpid vpid, zt_rpid rpid); /* see zt_ids_stood_in */

/* The sender in a siginfo, if the kernel wrote one, as the pod numbers it. True: that is another
 * number. SI_QUEUE is what a program wrote by rt_sigqueueinfo(2), its own number as it knows it. */
bool zt_pod_virtual_sender(zt_pod *pod, siginfo_t *info);

/* Is it one that is meant for us, and was sent from outside to the programs as well? */
bool zt_pod_is_kept_out(zt_pod *pod, const siginfo_t *info);

/* Are there members that nobody is attached to, or is an end to be told that has not been? */
static inline bool zt_pod_lives_apart(const zt_pod *pod)
{
    return pod->notified && (pod->looker.count || (pod->root.n && !pod->root_ended));
}

/* Is nothing noted of it that could be found out again when it is wanted? */
bool zt_task_is_plain(const zt_pod *pod, const zt_task *task);

/* Where a thread's rewritten arguments go, in its own memory. */
uint64_t zt_task_scratch(const zt_task *task);

/* The tracer waits for something: the looker may have its turn meanwhile. errno stays as it is. */
void zt_pod_pause(zt_pod *pod);
void zt_pod_go_on(zt_pod *pod);
