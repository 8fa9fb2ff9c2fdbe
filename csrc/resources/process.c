/* Ids of processes in calls that the table alone cannot translate. */
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../pod/past.h"
#include "../pod/seccomp.h"
#include "resource.h"

zt_verdict zt_getppid_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    zt_proc_stat stat;
    int32_t virtual = zt_proc_get_stat(task->rtid.n, &stat) ? zt_pod_virtual(pod, stat.parent).n : 0;
    return zt_hook_answer(call, virtual ? virtual : 1); /* whoever is outside looks like init */
}

zt_verdict zt_getpid_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)pod;
    return zt_hook_answer(call, task->process->vpid.n);
}

/* Of the process that is named; 0 is the caller's. */
static int64_t group_of(zt_pod *pod, const zt_task *task, int32_t id, pid_t (*ask)(pid_t))
{
    const zt_rpid real = id ? zt_pod_real(pod, id) : task->process->rpid;
    if (!real.n)
        return -ESRCH;
    const pid_t found = ask(real.n);
    return found < 0 ? -errno : zt_pod_virtual(pod, found).n;
}

zt_verdict zt_getpgid_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return zt_hook_answer(call, group_of(pod, task, (int32_t)call->asked[0], getpgid));
}

zt_verdict zt_getpgrp_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return zt_hook_answer(call, group_of(pod, task, 0, getpgid));
}

zt_verdict zt_getsid_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return zt_hook_answer(call, group_of(pod, task, (int32_t)call->asked[0], getsid));
}

zt_verdict zt_gettid_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)pod;
    return zt_hook_answer(call, task->vtid.n);
}

/* A namespace would be a second private view inside ours, and CLONE_UNTRACED a way out of it. */
static const uint64_t NEW_NAMESPACES = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                       CLONE_NEWPID | CLONE_NEWNET | 0x80 /* CLONE_NEWTIME */;

/* Semaphores are not undone for less than an end here. */
zt_verdict zt_unshare_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)pod, (void)task;
    return call->asked[0] & (NEW_NAMESPACES | CLONE_SYSVSEM) ? zt_hook_answer(call, -EPERM) : ZT_GO;
}

void zt_unshare_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    if (call->answer)
        return;
    if (call->asked[0] & CLONE_FILES)
        zt_pod_has_own_files(pod, task);
    if (call->asked[0] & CLONE_FS)
        zt_pod_has_own_directory(pod, task);
}

zt_verdict zt_vfork_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)pod, (void)task;
    call->issued_nr = (int32_t)zt_arch_nr(ZT_NR_CLONE);
    memset(call->issued, 0, sizeof call->issued);
    call->issued[0] = CLONE_VM | SIGCHLD;
    call->as_vfork = true;
    return ZT_GO;
}

zt_verdict zt_clone_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)pod, (void)task;
    const uint64_t flags = call->asked[0];
    call->as_vfork = flags & CLONE_VFORK;
    if (flags & (NEW_NAMESPACES & ~0xffull)) /* the low byte is the exit signal here */
        return zt_hook_answer(call, -EPERM);
    call->issued[0] = flags & ~(uint64_t)(CLONE_UNTRACED | CLONE_VFORK);
    return ZT_GO;
}

/* Is the rest of the arguments, what later versions of the struct have, not used? */
static bool nothing_follows(const zt_task *task, const zt_call *call)
{
    char rest[4096];
    const uint64_t size = call->asked[1] - CLONE_ARGS_SIZE_VER0;
    if (!zt_hook_read(task, call->asked[0] + CLONE_ARGS_SIZE_VER0, rest, size))
        return false;
    for (uint64_t i = 0; i < size; i++)
        if (rest[i])
            return false;
    return true;
}

static zt_verdict issue_copy(const zt_task *task, zt_call *call)
{
    zt_clone_asked issued = task->clone_asked;
    _Static_assert(sizeof issued == CLONE_ARGS_SIZE_VER0, "it is the first version of the struct");
    _Static_assert(sizeof issued <= ZT_STUB_SCRATCH_SLOT, "it fits into a scratch slot");
    issued.flags &= ~(uint64_t)(CLONE_VFORK | CLONE_UNTRACED);
    call->issued[0] = zt_task_scratch(task);
    call->issued[1] = sizeof issued;
    return zt_hook_write(task, call->issued[0], &issued, sizeof issued) ? ZT_GO : zt_hook_answer(call, -EFAULT);
}

/* clone3(args, size). What is read here is what the loop goes by when the child is there: by then
 * another thread may have changed the memory or taken it away. */
zt_verdict zt_clone3_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)pod;
    zt_clone_asked *asked = &task->clone_asked;
    if (call->asked[1] < CLONE_ARGS_SIZE_VER0 || call->asked[1] > (uint64_t)sysconf(_SC_PAGESIZE))
        return ZT_GO; /* the kernel refuses it before it looks */
    if (!zt_hook_read(task, call->asked[0], asked, sizeof *asked))
        return zt_hook_answer(call, -EFAULT);
    if (asked->flags & NEW_NAMESPACES)
        return zt_hook_answer(call, -EPERM);
    call->as_vfork = asked->flags & CLONE_VFORK && nothing_follows(task, call);
    if (call->as_vfork)
        return issue_copy(task, call);
    /* Cleared in place: nothing but a debugger would ask for it, and the scratch slot is too small. */
    if (asked->flags & CLONE_UNTRACED) {
        asked->flags &= ~(uint64_t)CLONE_UNTRACED;
        if (!zt_hook_write(task, call->asked[0], &asked->flags, sizeof asked->flags))
            return zt_hook_answer(call, -EPERM);
    }
    return ZT_GO;
}

/* --- waiting */

zt_verdict zt_wait4_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    call->asks_for_ends = call->asked[2] & WNOHANG;
    int32_t which = (int32_t)call->asked[0];
    if (which > 0 || which < -1) {
        zt_rpid real = zt_pod_real(pod, which > 0 ? which : -which);
        if (!real.n)
            return zt_hook_answer(call, -ECHILD);
        call->issued[0] = (uint64_t)(int64_t)(which > 0 ? real.n : -real.n);
    }
    return ZT_GO;
}

/* A child was found, and what it used was told at `address`, if anywhere: it and its children. */
static void tell_usage(zt_pod *pod, zt_task *task, zt_rpid child, uint64_t address)
{
    const zt_process_past *past = zt_past_of(pod, child);
    struct rusage told;
    if (!past || !address || !zt_hook_read(task, address, &told, sizeof told))
        return;
    zt_past_add(&past->own, &told);
    zt_past_add(&past->children, &told);
    zt_hook_write(task, address, &told, sizeof told);
}

void zt_wait4_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    if (call->answer <= 0)
        return;
    zt_rpid child = {(int32_t)call->answer};
    tell_usage(pod, task, child, call->asked[3]);
    zt_past_waited(pod, task->process, child);
    call->answer = zt_pod_virtual(pod, child.n).n;
}

zt_verdict zt_waitid_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    /* A pidfd may have O_NONBLOCK, which says the same. */
    call->asks_for_ends = call->asked[3] & WNOHANG || call->asked[0] == P_PIDFD;
    if (pod->moved && !call->asked[2]) /* we want to know which child it was */
        call->issued[2] = zt_task_scratch(task);
    int32_t id = (int32_t)call->asked[1];
    if ((call->asked[0] == P_PID || call->asked[0] == P_PGID) && id > 0) {
        zt_rpid real = zt_pod_real(pod, id);
        if (!real.n)
            return zt_hook_answer(call, -ECHILD);
        call->issued[1] = (uint64_t)real.n;
    }
    return ZT_GO;
}

/* waitid(which, id, siginfo, options, rusage); the kernel writes as much of a siginfo as this. */
void zt_waitid_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct {
        int32_t signal, error, code, unused, pid, uid, status;
    } info;
    const uint64_t address = call->issued[2];
    if (call->answer || !address || !zt_hook_read(task, address, &info, sizeof info) || !info.pid)
        return;
    zt_rpid child = {info.pid};
    tell_usage(pod, task, child, call->asked[4]);
    if (!(call->asked[3] & WNOWAIT))
        zt_past_waited(pod, task->process, child);
    info.pid = zt_pod_virtual(pod, child.n).n;
    if (call->asked[2])
        zt_hook_write(task, address, &info, sizeof info);
}

/* --- priorities: of a process, a group or (untranslated) a user */

static zt_verdict translate_who(zt_pod *pod, zt_call *call, uint64_t user_class)
{
    if (call->asked[0] == user_class)
        return ZT_GO;
    zt_rpid real = zt_pod_real(pod, (int32_t)call->asked[1]);
    if (!real.n)
        return zt_hook_answer(call, -ESRCH);
    call->issued[1] = (uint64_t)real.n;
    return ZT_GO;
}

zt_verdict zt_getpriority_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    return translate_who(pod, call, PRIO_USER);
}

zt_verdict zt_setpriority_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    return translate_who(pod, call, PRIO_USER);
}

enum { IOPRIO_WHO_USER_ = 3 };

zt_verdict zt_ioprio_get_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    return translate_who(pod, call, IOPRIO_WHO_USER_);
}

zt_verdict zt_ioprio_set_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    return translate_who(pod, call, IOPRIO_WHO_USER_);
}

/* --- prctl: what would lock us out of the process, or make state that cannot be carried */

enum { SUID_DUMP_DISABLE = 0, SUID_DUMP_USER = 1, PR_SYSCALL_USER_DISPATCH_ = 59, PR_SCHED_CORE_ = 62 };

zt_verdict zt_prctl_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    zt_process *process = task->process;
    switch ((int)call->asked[0]) {
    case PR_SET_DUMPABLE: /* with 0 the kernel would close /proc/PID to us: note the wish */
        if (call->asked[1] != SUID_DUMP_DISABLE && call->asked[1] != SUID_DUMP_USER)
            return zt_hook_answer(call, -EINVAL);
        process->dumpable = (int32_t)call->asked[1];
        return process->dumpable ? ZT_GO : zt_hook_answer(call, 0);
    case PR_GET_DUMPABLE: /* the kernel knows of changes of ids; of root's processes /proc shows us all */
        return process->dumpable == SUID_DUMP_USER ? ZT_GO : zt_hook_answer(call, process->dumpable);
    case PR_SET_PTRACER: /* nobody but the tracer can trace in a pod: granted, without effect */
        return zt_hook_answer(call, 0);
    case PR_SET_NO_NEW_PRIVS:
        if (call->asked[1] == 1 && !call->asked[2] && !call->asked[3] && !call->asked[4])
            task->no_new_privs = true;
        return ZT_GO;
    case PR_GET_NO_NEW_PRIVS:
        if (call->asked[1] || call->asked[2] || call->asked[3] || call->asked[4])
            return ZT_GO;
        return zt_hook_answer(call, task->no_new_privs);
    case PR_GET_SECCOMP:
        return zt_hook_answer(call, task->filter ? SECCOMP_MODE_FILTER : SECCOMP_MODE_DISABLED);
    case PR_SET_SECCOMP:
        if (call->asked[1] == SECCOMP_MODE_FILTER)
            return zt_seccomp_filter(pod, task, call, 2, 0);
        if (call->asked[1] != SECCOMP_MODE_STRICT)
            return zt_hook_answer(call, -EINVAL);
        call->issued[1] = SECCOMP_MODE_FILTER;
        return zt_seccomp_strict(pod, task, call, 2);
    case PR_SYSCALL_USER_DISPATCH_: /* our programs' calls would become signals */
    case PR_SCHED_CORE_:
        return zt_hook_answer(call, -EINVAL);
    case PR_SET_MM:
        return zt_hook_answer(call, -EPERM);
    default:
        return ZT_GO;
    }
}

void zt_prctl_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    if ((int)call->asked[0] == PR_SET_SECCOMP)
        zt_seccomp_noted(pod, task, call);
}
