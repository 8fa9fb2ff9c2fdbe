/* One stop at a time: what it means, what the rooms say to it, and how the thread goes on.
 *
 * Deaths can come at any moment, so every ptrace request may answer ESRCH (ZT_ERR_GONE). That is
 * no error of ours: the thread's end is reported by a later wait, and the stop is forgotten. */
#include "loop.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "pod/blocked.h"
#include "pod/settle.h"
#include "ptrace/mem.h"
#include "ptrace/stub.h"

/* --- going on */

/* Shall it come to rest? Not between vfork and exec: it runs on its maker's memory. */
static bool shall_rest(const zt_pod *pod, const zt_task *task)
{
    return pod->freezing && !task->process->vfork_maker;
}

/* Any stop takes a pending interrupt with it (kernel/signal.c, ptrace_stop), so a thread that is to
 * come to rest has to be interrupted anew each time. */
static int go_on(zt_pod *pod, zt_task *task, int signal, zt_err *err)
{
    if (shall_rest(pod, task) && zt_interrupt(task->rtid.n, err))
        return -1;
    bool watch = task->in_call || task->made.n || task->reissue.active;
    task->state = ZT_TASK_RUNNING;
    return zt_stopped_resume(zt_task_stopped(task), watch ? ZT_TO_CALL : ZT_TO_EVENT, signal, err);
}

/* At rest: stay so in a frozen pod, else go on, or go on waiting in a group-stop. */
static int at_rest(zt_pod *pod, zt_task *task, int group_stop, zt_err *err)
{
    task->group_stop = group_stop;
    if (!task->known) {
        task->state = ZT_TASK_NEWBORN;
        return 0;
    }
    if (shall_rest(pod, task)) {
        if (zt_blocked_at_rest(pod, task, err) || zt_settle(task, err))
            return -1;
        task->state = ZT_TASK_REST;
        return 0;
    }
    if (group_stop) {
        task->state = ZT_TASK_LISTENING;
        return zt_stopped_resume(zt_task_stopped(task), ZT_TO_LISTEN, 0, err);
    }
    return go_on(pod, task, 0, err);
}

/* --- making processes and threads */

typedef struct clone_asked {
    uint64_t flags, child_tid, parent_tid;
} clone_asked;

static int get_clone_asked(zt_task *maker, clone_asked *ret, zt_err *err)
{
    zt_regs regs;
    uint64_t args[6];
    if (zt_stopped_get_regs(zt_task_stopped(maker), &regs, err))
        return -1;
    zt_arch_get_args(&regs, args);
    *ret = (clone_asked){0};
    long nr = zt_arch_call_nr(&regs);
    if (nr == zt_arch_nr(ZT_NR_CLONE)) {
        *ret = (clone_asked){args[0] & ~0xffull, args[3], args[2]};
    } else if (nr == zt_arch_nr(ZT_NR_CLONE3)) {
        struct {
            uint64_t flags, pidfd, child_tid, parent_tid;
        } asked; /* the head of struct clone_args */
        if (zt_mem_get(maker->rtid.n, args[0], &asked, sizeof asked, err))
            return -1;
        *ret = (clone_asked){asked.flags, asked.child_tid, asked.parent_tid};
    }
    return 0;
}

/* The kernel wrote its own number for the child into memory; the pod has another one for it. */
static void correct_tid_words(const zt_task *maker, const zt_task *child, const clone_asked *asked)
{
    int32_t vtid = child->vtid.n;
    zt_err ignored; /* the program may have given a bad address: then the kernel did not write either */
    if (asked->flags & CLONE_PARENT_SETTID)
        zt_mem_put(maker->rtid.n, asked->parent_tid, &vtid, sizeof vtid, &ignored);
    if (asked->flags & CLONE_CHILD_SETTID)
        zt_mem_put(child->rtid.n, asked->child_tid, &vtid, sizeof vtid, &ignored);
}

/* Wait until a newborn is in its first stop. */
static int await_birth(zt_pod *pod, int32_t rtid, int *ret, zt_err *err)
{
    *ret = (int)zt_intmap_get(&pod->early, rtid) - 1;
    if (*ret >= 0) {
        zt_intmap_remove(&pod->early, rtid);
        return 0;
    }
    pid_t got;
    do
        got = waitpid(rtid, ret, __WALL);
    while (got < 0 && errno == EINTR);
    return got < 0 ? zt_fail_os(err, "waitpid of a new process") : 0;
}

int zt_loop_forked(zt_pod *pod, zt_task *maker, bool vfork, zt_err *err)
{
    unsigned long message;
    clone_asked asked;
    int status;
    if (zt_stopped_message(zt_task_stopped(maker), &message, err) || get_clone_asked(maker, &asked, err))
        return -1;
    int32_t rtid = (int32_t)message;
    if (zt_pod_task(pod, rtid))
        return 0; /* adopted already, when it seemed that nobody would tell of it */
    if (await_birth(pod, rtid, &status, err))
        return -1;
    bool thread = asked.flags & CLONE_THREAD;
    zt_task *child = zt_pod_add_task(pod, thread ? maker->process : NULL, rtid);
    child->known = true;
    child->process->ready = maker->process->ready;
    if (vfork)
        child->process->vfork_maker = maker;
    if (child->vtid.n != child->rtid.n) {
        maker->made = child->vtid;
        correct_tid_words(maker, child, &asked);
    }
    return zt_loop_dispatch(pod, zt_stop_of(rtid, status), err);
}

static void read_status(int32_t rtid, int32_t *ret_tgid, int32_t *ret_ppid)
{
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/%d/status", rtid);
    *ret_tgid = *ret_ppid = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file) && !*ret_ppid) {
        sscanf(line, "Tgid: %d", ret_tgid);
        sscanf(line, "PPid: %d", ret_ppid);
    }
    if (file)
        fclose(file);
}

/* A newborn process whose maker died before its event could be seen: nobody will tell of it. (A
 * thread dies with its maker.) */
static bool is_forsaken(zt_pod *pod, int32_t rtid)
{
    int32_t tgid, ppid;
    read_status(rtid, &tgid, &ppid);
    return tgid == rtid && !zt_pod_process(pod, (zt_rpid){ppid});
}

static int adopt_forsaken(zt_pod *pod, zt_err *err)
{
    for (uint32_t i = 0; pod->early.used && i <= pod->early.mask; i++) {
        int32_t rtid = pod->early.slots[i].key;
        if (!rtid || !is_forsaken(pod, rtid))
            continue;
        int status = (int)pod->early.slots[i].value - 1;
        zt_intmap_remove(&pod->early, rtid);
        zt_task *task = zt_pod_add_task(pod, NULL, rtid);
        task->known = task->process->ready = true;
        if (zt_loop_dispatch(pod, zt_stop_of(rtid, status), err))
            return -1;
        i = UINT32_MAX; /* the table has changed: from the start */
    }
    return 0;
}

/* --- execution of programs, and ends */

static int release_vfork_maker(zt_pod *pod, zt_process *process, zt_err *err)
{
    zt_task *maker = process->vfork_maker;
    process->vfork_maker = NULL;
    if (!maker)
        return 0;
    return go_on(pod, maker, 0, err);
}

int zt_loop_executed(zt_pod *pod, zt_stop stop, zt_err *err)
{
    zt_stopped thread = {stop.rtid};
    zt_task *task = zt_pod_task(pod, stop.rtid);
    unsigned long former;
    zt_stop rest;
    if (zt_stopped_message(thread, &former, err))
        return -1;
    if ((int32_t)former != stop.rtid) {
        zt_task *caller = zt_pod_task(pod, (int32_t)former); /* now has the leader's numbers */
        if (!task && caller) {
            task = zt_pod_add_task(pod, caller->process, stop.rtid);
            zt_pod_set_vtid(pod, task, caller->process->vpid);
        }
        if (caller)
            zt_pod_remove_task(pod, caller);
    }
    if (!task)
        return zt_fail(err, ZT_ERR_STATE, 0, "thread %d executed a program but is not in the pod", stop.rtid);
    task->in_call = task->reissue.active = false;
    task->made = (zt_vpid){0};
    task->known = true;
    task->process->ready = false;
    if (zt_stopped_rest(thread, &rest, err))
        return -1;
    if (rest.kind == ZT_STOP_EXITED) {
        zt_loop_ended(pod, task, rest.value);
        return zt_fail(err, ZT_ERR_GONE, ESRCH, "process %d was killed", stop.rtid);
    }
    if (zt_stub_install(thread, &pod->host, pod->clock_offset_ns, err)) {
        if (err->kind != ZT_ERR_GONE) {
            /* Without a stub it could not be carried; end it as a failed execve would, late. */
            char text[300];
            snprintf(text, sizeof text, "process %d: %s", task->process->vpid.n, err->text);
            zt_pod_add_note(pod, text);
            kill(task->process->rpid.n, SIGKILL);
            return zt_fail(err, ZT_ERR_GONE, ESRCH, "process %d was killed", stop.rtid);
        }
        return -1;
    }
    task->process->ready = true;
    task->group_stop = rest.kind == ZT_STOP_GROUP ? rest.value : 0;
    return release_vfork_maker(pod, task->process, err);
}

/* Children of ours that ended before they became ours: orphans that their parent never waited for. */
static void reap_orphans(zt_pod *pod)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || !info.si_pid)
            return;
        if (zt_pod_task(pod, info.si_pid) || !zt_idtable_to_virtual(&pod->ids, (zt_rpid){info.si_pid}).n)
            return; /* the loop will see it, or it is none of ours */
        waitpid(info.si_pid, NULL, WNOHANG);
    }
}

void zt_loop_ended(zt_pod *pod, zt_task *task, int wait_status)
{
    zt_process *process = task->process;
    zt_err ignored;
    if (task->rtid.n == pod->root.n) {
        pod->root_ended = true;
        pod->root_status = wait_status;
        atomic_store(&pod->woken, true); /* somebody waits for it */
    }
    if (process->threads == 1)
        release_vfork_maker(pod, process, &ignored); /* may be dying as well */
    zt_pod_remove_task(pod, task);
    adopt_forsaken(pod, &ignored);
    reap_orphans(pod);
}

/* --- calls */

/* The pod is being frozen: the call has not been made yet. */
static int unmake_call(zt_pod *pod, zt_task *task, zt_regs *regs, zt_err *err)
{
    zt_arch_rewind_call(regs, zt_arch_call_nr(regs));
    task->in_call = false;
    if (zt_stopped_set_regs(zt_task_stopped(task), regs, err))
        return -1;
    return go_on(pod, task, 0, err);
}

/* Swap the ids in the arguments. False: one of them is not in the pod. */
static bool translate_args(zt_pod *pod, const zt_row *row, zt_call *call)
{
    for (int i = 0; i < 6; i++) {
        int32_t id = (int32_t)call->asked[i];
        if (!(row->arg_ids >> i & 1) || id <= 0)
            continue;
        zt_rpid real = zt_pod_real(pod, id);
        if (!real.n)
            return false;
        call->issued[i] = (uint64_t)real.n;
    }
    return true;
}

static zt_verdict decide(zt_pod *pod, zt_task *task, const zt_row *row, zt_call *call)
{
    if (row->class == ZT_UNKNOWN) {
        call->answer = -ENOSYS;
        return ZT_ANSWERED;
    }
    if (!translate_args(pod, row, call)) {
        call->answer = -ESRCH;
        return ZT_ANSWERED;
    }
    if (row->enter)
        return row->enter(pod, task, call);
    bool changed = memcmp(call->asked, call->issued, sizeof call->asked) != 0;
    return row->exit || changed || (row->result_id && pod->moved) ? ZT_GO_EXIT : ZT_GO;
}

static int on_enter(zt_pod *pod, zt_task *task, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    zt_regs regs;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    if (task->reissue.active && task->reissue.entered)
        return go_on(pod, task, 0, err); /* its arguments are the kernel's already */
    if (shall_rest(pod, task))
        return unmake_call(pod, task, &regs, err);

    zt_call *call = &task->call;
    *call = (zt_call){.nr = (int32_t)zt_arch_call_nr(&regs), .ip = regs.rip};
    zt_arch_get_args(&regs, call->asked);
    memcpy(call->issued, call->asked, sizeof call->issued);
    task->row = zt_row_of(call->nr);
    zt_verdict verdict = decide(pod, task, task->row, call);
    if (verdict == ZT_ANSWERED) {
        zt_arch_skip_call(&regs);
        zt_arch_set_result(&regs, call->answer);
    } else {
        zt_arch_set_args(&regs, call->issued);
    }
    task->in_call = verdict == ZT_GO_EXIT;
    if (zt_stopped_set_regs(thread, &regs, err))
        return -1;
    return go_on(pod, task, 0, err);
}

static int on_exit_of_call(zt_pod *pod, zt_task *task, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    zt_regs regs;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    int64_t result = zt_arch_result(&regs);
    if (task->made.n && result > 0)
        zt_arch_set_result(&regs, task->made.n);
    task->made = (zt_vpid){0};
    if (task->in_call) {
        zt_call *call = &task->call;
        call->answer = result;
        if (!zt_call_interrupted(result)) {
            if (task->row->result_id && result > 0)
                call->answer = zt_pod_virtual(pod, (int32_t)result).n;
            if (task->row->exit)
                task->row->exit(pod, task, call);
        }
        zt_arch_set_result(&regs, call->answer);
        zt_arch_set_args(&regs, call->asked); /* the program's registers stay as they were */
    }
    task->in_call = false;
    if (zt_stopped_set_regs(thread, &regs, err))
        return -1;
    return go_on(pod, task, 0, err);
}

/* A call that a freeze had interrupted is made again: its own arguments for the kernel on the way
 * in, the program's on the way out. A handler that runs first makes calls of its own; let them be. */
static int on_reissued(zt_pod *pod, zt_task *task, bool entering, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    zt_regs regs;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    if (entering) {
        bool ours = regs.rsp == task->reissue.rsp && regs.rip == task->reissue.rip + ZT_ARCH_SYSCALL_BYTES &&
                    zt_arch_call_nr(&regs) == task->reissue.call.nr;
        if (ours) {
            task->reissue.entered = true;
            zt_arch_set_args(&regs, task->reissue.call.issued);
        }
    } else if (task->reissue.entered) {
        zt_arch_set_args(&regs, task->reissue.call.asked);
        task->reissue.active = task->reissue.entered = false;
    }
    if (zt_stopped_set_regs(thread, &regs, err))
        return -1;
    return go_on(pod, task, 0, err);
}

static int on_call(zt_pod *pod, zt_task *task, zt_err *err)
{
    bool entering;
    if (zt_stopped_entering(zt_task_stopped(task), &entering, err))
        return -1;
    if (task->reissue.active && !task->in_call)
        return on_reissued(pod, task, entering, err);
    return entering ? go_on(pod, task, 0, err) : on_exit_of_call(pod, task, err);
}

/* --- signals */

static int on_signal(zt_pod *pod, zt_task *task, int signal, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    siginfo_t info;
    if (zt_stopped_get_siginfo(thread, &info, err))
        return -1;
    bool has_sender = info.si_code == SI_USER || info.si_code == SI_QUEUE || info.si_code == SI_TKILL ||
                      info.si_code == SI_MESGQ || (signal == SIGCHLD && info.si_code > 0);
    if (has_sender && info.si_pid) {
        int32_t sender = zt_pod_virtual(pod, info.si_pid).n;
        if (sender != info.si_pid) {
            info.si_pid = sender;
            if (zt_stopped_set_siginfo(thread, &info, err))
                return -1;
        }
    }
    if (zt_blocked_at_signal(pod, task, signal, err))
        return -1;
    return go_on(pod, task, signal, err);
}

/* --- the stops */

static int dispatch(zt_pod *pod, zt_task *task, zt_stop stop, zt_err *err)
{
    switch (stop.kind) {
    case ZT_STOP_EXITED:
        zt_loop_ended(pod, task, stop.value);
        return 0;
    case ZT_STOP_REST:
        return at_rest(pod, task, 0, err);
    case ZT_STOP_GROUP:
        return at_rest(pod, task, stop.value, err);
    case ZT_STOP_SECCOMP:
        return on_enter(pod, task, err);
    case ZT_STOP_CALL:
        return on_call(pod, task, err);
    case ZT_STOP_FORK:
        if (zt_loop_forked(pod, task, false, err))
            return -1;
        return go_on(pod, task, 0, err);
    case ZT_STOP_VFORK:
        if (zt_loop_forked(pod, task, true, err))
            return -1;
        task->state = ZT_TASK_VFORK;
        return 0;
    case ZT_STOP_EXEC:
        if (zt_loop_executed(pod, stop, err))
            return -1;
        task = zt_pod_task(pod, stop.rtid);
        return at_rest(pod, task, task->group_stop, err);
    case ZT_STOP_SIGNAL:
        return on_signal(pod, task, stop.value, err);
    case ZT_STOP_OTHER:
        return go_on(pod, task, 0, err);
    }
    return 0;
}

int zt_loop_dispatch(zt_pod *pod, zt_stop stop, zt_err *err)
{
    zt_task *task = zt_pod_task(pod, stop.rtid);
    if (!task && stop.kind == ZT_STOP_EXITED) {
        zt_intmap_remove(&pod->early, stop.rtid);
        return 0;
    }
    int failed = dispatch(pod, task, stop, err);
    return failed && err->kind == ZT_ERR_GONE ? 0 : failed;
}

/* Take one stop, if there is one. 1: took one, 0: none now, -1 with err. */
static int step(zt_pod *pod, int options, zt_err *err)
{
    int status;
    pid_t rtid = waitpid(-1, &status, __WALL | __WNOTHREAD | options);
    if (rtid == 0 || (rtid < 0 && (errno == EINTR || errno == ECHILD)))
        return 0;
    if (rtid < 0)
        return zt_fail_os(err, "waitpid");
    zt_stop stop = zt_stop_of(rtid, status);
    if (!zt_pod_task(pod, rtid) && stop.kind != ZT_STOP_EXITED && stop.kind != ZT_STOP_EXEC) {
        zt_intmap_put(&pod->early, rtid, (uintptr_t)status + 1);
        return 1;
    }
    return zt_loop_dispatch(pod, stop, err) ? -1 : 1;
}

int zt_loop_run(zt_pod *pod, zt_err *err)
{
    while (pod->task_count) {
        if (atomic_exchange(&pod->woken, false))
            return 1;
        if (pod->freezing) { /* nothing runs; only deaths can come, and they can wait */
            const struct timespec nap = {0, 5000000};
            while (step(pod, WNOHANG, err) > 0)
                ;
            if (pod->task_count)
                nanosleep(&nap, NULL);
            continue;
        }
        if (step(pod, 0, err) < 0)
            return -1;
    }
    return 0;
}

/* --- freeze and thaw */

/* A leader that has ended while its threads go on never stops again. */
static void look_for_ended_leader(zt_task *task)
{
    char path[64], line[512];
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", task->process->rpid.n, task->rtid.n);
    FILE *stat = fopen(path, "re");
    if (!stat)
        return;
    const char *after_name = fgets(line, sizeof line, stat) ? strrchr(line, ')') : NULL;
    if (after_name && after_name[1] == ' ' && after_name[2] == 'Z' && task->process->threads > 1)
        task->state = ZT_TASK_ENDED;
    fclose(stat);
}

static int32_t not_at_rest(const zt_pod *pod, const zt_task **ret_first)
{
    int32_t count = 0;
    for (const zt_task *task = pod->tasks; task; task = task->next)
        if (task->state != ZT_TASK_REST && task->state != ZT_TASK_ENDED && !count++)
            *ret_first = task;
    return count;
}

int zt_pod_freeze(zt_pod *pod, int32_t timeout_ms, zt_err *err)
{
    if (pod->freezing)
        return zt_fail(err, ZT_ERR_STATE, 0, "the pod is frozen already");
    zt_blocked_calibrate();
    for (zt_task *task = pod->tasks; task; task = task->next)
        if (task->state == ZT_TASK_RUNNING)
            zt_blocked_look(task);

    pod->freezing = true;
    pod->frozen_at_ns = zt_now_ns();
    const int64_t limit = pod->frozen_at_ns + timeout_ms * 1000000ll;
    for (zt_task *task = pod->tasks; task; task = task->next)
        if ((task->state == ZT_TASK_RUNNING || task->state == ZT_TASK_LISTENING) && shall_rest(pod, task))
            zt_interrupt(task->rtid.n, err); /* ESRCH: its end is on the way */

    const zt_task *late = NULL;
    long idle = 0;
    while (not_at_rest(pod, &late) || pod->early.used) {
        int took = step(pod, WNOHANG, err);
        if (took < 0) {
            zt_err ignored;
            zt_pod_thaw(pod, &ignored);
            return -1;
        }
        if (took) {
            idle = 0;
            continue;
        }
        if (++idle < 50) {
            sched_yield();
            continue;
        }
        if (idle % 50 == 0)
            for (zt_task *task = pod->tasks; task; task = task->next)
                if (task->state == ZT_TASK_RUNNING && task->rtid.n == task->process->rpid.n)
                    look_for_ended_leader(task);
        const struct timespec nap = {0, idle < 200 ? 50000 : 1000000};
        nanosleep(&nap, NULL);
        if (zt_now_ns() > limit && not_at_rest(pod, &late)) {
            int32_t vpid = late->process->vpid.n;
            bool vfork = late->state == ZT_TASK_VFORK || late->process->vfork_maker;
            zt_err ignored;
            zt_pod_thaw(pod, &ignored);
            return zt_fail(err, ZT_ERR_TIMEOUT, 0, "process %d did not stop within %d ms: %s", vpid, timeout_ms,
                           vfork ? "it is between vfork and exec" : "it is in a call that cannot be interrupted");
        }
    }
    return 0;
}

int zt_pod_thaw(zt_pod *pod, zt_err *err)
{
    int failed = 0;
    pod->freezing = false;
    for (zt_task *task = pod->tasks, *next; task; task = next) {
        next = task->next;
        if (task->state == ZT_TASK_ENDED)
            task->state = ZT_TASK_RUNNING;
        if (task->state != ZT_TASK_REST)
            continue;
        if (at_rest(pod, task, task->group_stop, err) && err->kind != ZT_ERR_GONE)
            failed = -1;
    }
    return failed;
}

int zt_pod_frozen(zt_pod *pod)
{
    return pod->freezing;
}

int zt_pod_kill(zt_pod *pod)
{
    zt_err ignored;
    while (pod->task_count || pod->early.used) {
        for (zt_task *task = pod->tasks; task; task = task->next)
            kill(task->process->rpid.n, SIGKILL);
        for (uint32_t i = 0; i <= pod->early.mask; i++)
            if (pod->early.slots[i].key)
                kill(pod->early.slots[i].key, SIGKILL);
        if (step(pod, WNOHANG, &ignored) <= 0) {
            const struct timespec nap = {0, 500000};
            nanosleep(&nap, NULL);
        }
    }
    pod->freezing = false;
    reap_orphans(pod);
    return 0;
}
