#include "attach.h"

#include <dirent.h>
#include <errno.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "../base/proc.h"
#include "../pod/blocked/blocked.h"
#include "../pod/members.h"
#include "../pod/shares.h"
#include "../ptrace/stub.h"

/* ERESTARTNOINTR, include/linux/errno.h: a call that answers it is made again, whatever comes. */
static const int64_t GIVEN_UP = -513;

void zt_loop_hand_over(zt_pod *pod, zt_task *task, zt_taken what, int listener, uint64_t asked_as)
{
    task->taken = what;
    task->asked_by = listener;
    task->asked_as = asked_as;
    atomic_fetch_add(&pod->looker.handed, 1);
}

/* It may have been killed meanwhile: then nobody hears it. */
static void say(zt_task *task, int64_t answer, bool goes_on)
{
    union {
        struct seccomp_notif_resp it;
        char room[ZT_LOOKER_MOST];
    } said;
    memset(&said, 0, sizeof said);
    said.it.id = task->asked_as;
    if (goes_on)
        said.it.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else if (answer < 0 && answer >= -4095)
        said.it.error = (int32_t)answer;
    else
        said.it.val = answer;
    ioctl(task->asked_by, SECCOMP_IOCTL_NOTIF_SEND, &said);
    task->asked_by = -1;
}

/* Its tracer is a relative, or it ends: it goes on without us. */
static void do_without(zt_pod *pod, zt_task *task)
{
    const bool filters = task->call.nr == SYS_seccomp || task->call.nr == SYS_prctl; /* ours would lock the stub out */
    const bool changed = task->taken == ZT_TAKEN_ISSUE && zt_call_is_changed(&task->call);
    if (task->taken == ZT_TAKEN_ANSWER)
        say(task, task->call.answer, false);
    else
        say(task, -EPERM, !(changed && filters));
    task->taken = ZT_TAKEN_NOT;
    if (!task->vfork_maker)
        zt_pod_forget_task(pod, task);
}

/* The stub's own instruction that enters the kernel. */
static uint64_t instruction(void)
{
    const zt_stub_code code = zt_stub_interpreter();
    const void *found = memmem(code.bytes, code.size, zt_arch_syscall_insn, ZT_ARCH_SYSCALL_BYTES);
    return code.address + (uint64_t)((const unsigned char *)found - code.bytes);
}

bool zt_loop_is_issued(uint64_t rip)
{
    return rip == ZT_STUB_ISSUED || rip == instruction() + ZT_ARCH_SYSCALL_BYTES;
}

static int see_end(zt_pod *pod, zt_task *task, zt_regs *regs, zt_err *err)
{
    zt_call *call = &task->call;
    const int64_t result = call->answer = zt_arch_result(regs);
    if (zt_call_interrupted(result)) /* it is made again, and comes again */
        return 0;
    zt_counts_of(&pod->counts, call->nr)->left++;
    task->row->exit(pod, task, call);
    if (call->answer == result)
        return 0;
    zt_arch_set_result(regs, call->answer);
    return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
}

int zt_loop_taken_rests(zt_pod *pod, zt_task *task, zt_err *err)
{
    const zt_taken what = task->taken;
    zt_regs regs;
    task->taken = ZT_TAKEN_NOT;
    task->leaves = what == ZT_TAKEN_LEAVE && !zt_pod_shall_rest(pod, task);
    if (what != ZT_TAKEN_END && what != ZT_TAKEN_ISSUE)
        return 0;
    if (zt_stopped_get_regs(zt_task_stopped(task), &regs, err))
        return -1;
    if (what == ZT_TAKEN_END)
        return see_end(pod, task, &regs, err);
    if (zt_pod_shall_rest(pod, task) || zt_arch_result(&regs) != GIVEN_UP)
        return 0; /* the kernel has it made again */
    zt_arch_enter_call(&regs, instruction(), task->call.issued_nr, task->call.issued);
    task->in_call = true;
    return zt_stopped_set_regs(zt_task_stopped(task), &regs, err);
}

/* --- to leave */

static bool is_first(const zt_task *task)
{
    return task->rtid.n == task->process->rpid.n;
}

/* Then its other threads stay attached, too: attach_others. */
static bool awaits_a_child(const zt_pod *pod, const zt_process *process)
{
    for (const zt_task *task = pod->tasks; task && process->threads > 1; task = task->next)
        if (task->process == process && is_first(task) &&
            (task->awaits_child || (task->call.as_vfork && (task->in_call || task->taken))))
            return true;
    return false;
}

bool zt_loop_may_leave(const zt_pod *pod, const zt_task *task)
{
    const bool watched = task->in_call || task->made.n || task->reissue.active || task->taken;
    const bool is_in_vfork = task->awaits_child || (task->vfork_maker && !task->leaves);
    return pod->detaches && !pod->wants_all && !pod->lines_up && !watched && !is_in_vfork && !task->woken &&
           !task->hears && !task->late.active && !task->ends_alone && !zt_pod_shall_rest(pod, task) &&
           !awaits_a_child(pod, task->process);
}

int zt_loop_leave(zt_pod *pod, zt_task *task, int signal, zt_err *err)
{
    if (zt_stopped_detach(zt_task_stopped(task), signal, err))
        return -1;
    if (!task->vfork_maker) {
        zt_pod_forget_task(pod, task);
        return 0;
    }
    task->leaves = false;
    task->loose = true;
    task->state = ZT_TASK_RUNNING;
    pod->apart++;
    return 0;
}

zt_task *zt_loop_next_apart(zt_pod *pod)
{
    for (zt_task *task = pod->tasks; task; task = task->next)
        if (task->loose && task->vfork_maker && !task->taken &&
            (zt_proc_has_ended(task->rtid.n) || !zt_shares_memory(task, task->vfork_maker)))
            return task;
    return NULL;
}

/* --- all */

typedef struct seizing {
    zt_pod *pod;
    bool rest;
    int count;
    zt_blocked_clocks *clocks;
    zt_err *err;
} seizing;

static int fail_traced(const zt_pod *pod, const zt_task *task, zt_err *err)
{
    char status[1024];
    int tracer = 0;
    if (!zt_proc_read(task->rtid.n, "status", status, sizeof status)) {
        const char *at = zt_proc_value(status, "TracerPid");
        if (at)
            sscanf(at, "%d", &tracer);
    }
    if (tracer == pod->tracer_tid) /* just born of one that is attached, who is about to tell */
        return 0;
    if (tracer)
        return zt_fail(err, ZT_ERR_STATE, EPERM, "process %d is traced by process %d", task->process->vpid.n, tracer);
    return -1;
}

static int attach(void *context, int32_t rpid, int32_t rtid)
{
    seizing *all = context;
    zt_pod *pod = all->pod;
    zt_proc_stat stat;
    zt_task *task = zt_pod_task(pod, rtid);
    if (task && !task->loose)
        return 0;
    if (!zt_proc_get_stat(rtid, &stat) || stat.state == 'X' || (stat.state == 'Z' && rpid != rtid))
        return 0;
    if (!task && (task = zt_members_learn(pod, rtid)))
        task->loose = true;
    if (!task)
        return 0;
    if (stat.state == 'Z') { /* a leader that ended before its other threads, or all have: it is told later which */
        task->state = ZT_TASK_ENDED;
        return 0;
    }
    if (all->rest)
        zt_blocked_look(all->clocks, task);
    if (zt_seize(rtid, pod->moved, all->err)) {
        const bool ended = zt_proc_has_ended(rtid);
        if (!ended && fail_traced(pod, task, all->err) && all->err->kind != ZT_ERR_GONE)
            return -1;
        if (!task->taken)
            zt_pod_forget_task(pod, task);
        return 0;
    }
    task->loose = false;
    task->state = ZT_TASK_RUNNING;
    all->count++;
    if (all->rest)
        zt_interrupt(rtid, all->err); /* ESRCH: its end is on the way */
    return 0;
}

/* Signals to a process that do nothing are kept if its first thread is attached, and may wake another one, which is
 * to be attached then, too (pod/blocked/woken.h). Here for the only call that takes long. */
static void attach_others(zt_pod *pod, const zt_task *task)
{
    zt_err ignored;
    seizing all = {.pod = pod, .err = &ignored};
    const int32_t rpid = task->process->rpid.n, rtid = task->rtid.n;
    DIR *threads = zt_proc_open_threads(rpid);
    for (struct dirent *entry; threads && (entry = readdir(threads));)
        if (atoi(entry->d_name) > 0 && atoi(entry->d_name) != rtid)
            attach(&all, rpid, atoi(entry->d_name));
    if (threads)
        closedir(threads);
}

static int take(zt_pod *pod, zt_task *task, zt_err *err)
{
    if (task->loose && zt_seize(task->rtid.n, false, err)) {
        do_without(pod, task);
        return 0;
    }
    task->loose = false;
    task->state = ZT_TASK_RUNNING;
    if (task->call.as_vfork && is_first(task))
        attach_others(pod, task);
    if (zt_interrupt(task->rtid.n, err)) { /* its end is on the way */
        task->asked_by = -1;
        return err->kind == ZT_ERR_GONE ? 0 : -1;
    }
    if (zt_pod_shall_rest(pod, task) && task->taken != ZT_TAKEN_ANSWER)
        task->taken = ZT_TAKEN_ISSUE;
    if (task->taken == ZT_TAKEN_ANSWER)
        say(task, task->call.answer, false);
    else
        say(task, GIVEN_UP, task->taken != ZT_TAKEN_ISSUE && task->taken != ZT_TAKEN_LEAVE);
    return 0;
}

int zt_loop_take_over(zt_pod *pod, zt_err *err)
{
    int failed = 0;
    atomic_store(&pod->looker.handed, 0);
    if (pod->wants_all && !pod->freezing && zt_loop_attach_for_good(pod, err))
        return -1;
    for (zt_task *task = pod->tasks, *next; task && !failed; task = next) {
        next = task->next;
        if (task->taken && task->asked_by >= 0)
            failed = take(pod, task, err);
    }
    return failed;
}

static void forget_zombies(zt_pod *pod)
{
    for (zt_task *task = pod->tasks, *next; task; task = next) {
        next = task->next;
        if (task->loose && task->state == ZT_TASK_ENDED && task->process->threads == 1)
            zt_pod_forget_task(pod, task);
    }
}

int zt_loop_attach_all(zt_pod *pod, bool rest, zt_err *err)
{
    zt_blocked_clocks clocks;
    seizing all = {.pod = pod, .rest = rest, .clocks = &clocks, .err = err};
    zt_blocked_calibrate(&clocks);
    const int said = zt_members_each(pod, attach, &all);
    forget_zombies(pod);
    if (said == -ENOMEM)
        return zt_fail(err, ZT_ERR_OS, ENOMEM, "no memory to find all of the pod");
    return said ? -1 : all.count;
}

int zt_loop_attach_for_good(zt_pod *pod, zt_err *err)
{
    int more = 1;
    pod->wants_all = pod->detaches = false;
    while (more > 0)
        more = zt_loop_attach_all(pod, false, err);
    return more;
}
