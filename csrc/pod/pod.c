#include "pod.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../ptrace/stub.h"
#include "awaited.h"

zt_pod *zt_pod_create(int32_t moved, int64_t clock_offset_ns, zt_err *err)
{
    zt_pod *pod = calloc(1, sizeof *pod);
    if (!pod || zt_intmap_create(&pod->by_rtid) || zt_intmap_create(&pod->early) ||
        zt_intmap_create(&pod->ended_pasts)) {
        free(pod);
        zt_fail(err, ZT_ERR_OS, ENOMEM, "no memory for a pod");
        return NULL;
    }
    zt_looker_create(&pod->looker);
    if (zt_counts_create(&pod->counts)) {
        zt_fail(err, ZT_ERR_OS, ENOMEM, "no memory for a pod");
        zt_pod_destroy(pod);
        return NULL;
    }
    if (zt_idtable_create(&pod->ids) || zt_intmap_create(&pod->stood_in) || zt_intmap_create(&pod->awaited) ||
        zt_intmap_create(&pod->kept) || zt_host_vdso_find(&pod->host, err)) {
        zt_pod_destroy(pod);
        return NULL;
    }
    pod->no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
    pod->thread_maker = zt_thread_maker_find();
    pod->moved = moved;
    pod->follow.cpu = pod->follow.seen = -1;
    pod->patience_ms = ZT_STUB_PATIENCE_MS;
    pod->ipcs.moved = moved ? &pod->ids : NULL;
    pod->clock_offset_ns = clock_offset_ns;
    pod->tracer_tid = (pid_t)syscall(SYS_gettid);
    zt_wake_prepare();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* orphans of the pod are ours */
    return pod;
}

static void free_tidings(zt_tiding *tiding)
{
    while (tiding) {
        zt_tiding *next = tiding->next;
        free(tiding);
        tiding = next;
    }
}

static void forget_all_pasts(zt_intmap *pasts)
{
    for (uint32_t i = 0; pasts->slots && i <= pasts->mask; i++)
        if (pasts->slots[i].key)
            free((void *)pasts->slots[i].value);
    zt_intmap_destroy(pasts);
}

void zt_pod_destroy(zt_pod *pod)
{
    if (!pod)
        return;
    while (pod->tasks)
        zt_pod_remove_task(pod, pod->tasks);
    free_tidings(pod->tidings);
    zt_awaited_destroy(&pod->awaited);
    zt_store_clear(&pod->store);
    zt_ipc_clear(&pod->ipcs);
    forget_all_pasts(&pod->ended_pasts);
    zt_intmap_destroy(&pod->by_rtid);
    zt_intmap_destroy(&pod->early);
    zt_intmap_destroy(&pod->stood_in);
    zt_intmap_destroy(&pod->kept);
    zt_idtable_destroy(&pod->ids);
    zt_counts_destroy(&pod->counts);
    zt_looker_destroy(&pod->looker);
    free(pod);
}

zt_task *zt_pod_task(zt_pod *pod, int32_t rtid)
{
    return (zt_task *)zt_intmap_get(&pod->by_rtid, rtid);
}

static void choose_slot(zt_task *task)
{
    task->scratch_slot = task->process->next_slot++ % ZT_STUB_SCRATCH_SLOTS;
}

/* The table would grow by every process that ever was. A session's number may be held by nothing
 * that kill(2) can find, so those are collected first. */
static void sweep_ids(zt_pod *pod)
{
    enum { SPARE = 4096 };
    zt_intmap kept;
    if (pod->ids.virtual_of.used < pod->sweep_ids_at || zt_intmap_create(&kept))
        return;
    bool complete = true;
    for (const zt_task *task = pod->tasks; task; task = task->next) {
        int32_t sid = getsid(task->process->rpid.n);
        complete = complete && !zt_intmap_put(&kept, task->rtid.n, 1) && (sid <= 0 || !zt_intmap_put(&kept, sid, 1));
    }
    if (complete)
        zt_idtable_sweep(&pod->ids, &kept);
    zt_intmap_destroy(&kept);
    pod->sweep_ids_at = pod->ids.virtual_of.used * 2 + SPARE;
}

/* A tracee without a record could never be found again. EXITKILL ends the pod with us. */
_Noreturn static void end_without_memory(void)
{
    static const char said[] = "no memory for a new thread of the pod: the pod is ended\n";
    if (write(STDERR_FILENO, said, sizeof said - 1) < 0) /* the supervisor's log */
        _exit(1);
    abort();
}

zt_task *zt_pod_add_task(zt_pod *pod, zt_process *process, int32_t rtid)
{
    zt_task *task = calloc(1, sizeof *task);
    if (task && !process)
        process = calloc(1, sizeof *process);
    if (!task || !process)
        end_without_memory();
    sweep_ids(pod);
    task->rtid = (zt_rpid){rtid};
    zt_vpid vtid = {pod->expected_vpid};
    pod->expected_vpid = 0;
    if (!vtid.n)
        vtid = zt_idtable_choose(&pod->ids, task->rtid);
    task->vtid = vtid;
    if (zt_idtable_bind(&pod->ids, vtid, task->rtid) || zt_intmap_put(&pod->by_rtid, rtid, (uintptr_t)task))
        end_without_memory();
    if (!process->threads++) {
        zt_pod_forget_past(pod, task->rtid); /* who had its number has been waited for */
        process->rpid = task->rtid;
        process->vpid = vtid;
        process->dumpable = 1;
    }
    task->process = process;
    task->shares = (zt_shares){++pod->last_share, pod->last_share, pod->last_share, pod->last_share};
    choose_slot(task);
    task->previous = pod->last_task;
    if (pod->last_task)
        pod->last_task->next = task;
    else
        pod->tasks = task;
    pod->last_task = task;
    pod->task_count++;
    return task;
}

void zt_pod_forget_past(zt_pod *pod, zt_rpid rpid)
{
    free((void *)zt_intmap_get(&pod->ended_pasts, rpid.n));
    zt_intmap_remove(&pod->ended_pasts, rpid.n);
}

static void keep_past(zt_pod *pod, zt_process *process)
{
    if (process->past && zt_intmap_put(&pod->ended_pasts, process->rpid.n, (uintptr_t)process->past))
        free(process->past); /* no memory: the time is lost, the pod is not */
}

static void take_out(zt_pod *pod, zt_task *task)
{
    if (task->previous)
        task->previous->next = task->next;
    else
        pod->tasks = task->next;
    if (task->next)
        task->next->previous = task->previous;
    else
        pod->last_task = task->previous;
    for (zt_task *other = pod->tasks; other; other = other->next)
        if (other->vfork_maker == task) {
            other->vfork_maker = NULL;
            other->process->vfork_in_kernel = false;
        }
    zt_intmap_remove(&pod->by_rtid, task->rtid.n);
    pod->task_count--;
}

static void free_task(zt_task *task)
{
    if (!task->process->threads)
        free(task->process);
    free(task->past);
    free(task);
}

void zt_pod_remove_task(zt_pod *pod, zt_task *task)
{
    take_out(pod, task);
    const bool is_last = !--task->process->threads;
    if (is_last && (!pod->detaches || zt_proc_has_ended(task->process->rpid.n))) { /* others may be unknown */
        keep_past(pod, task->process);
        zt_ipc_process_ended(&pod->ipcs, task->process->vpid);
    }
    free_task(task);
}

void zt_pod_forget_task(zt_pod *pod, zt_task *task)
{
    take_out(pod, task);
    task->process->threads--;
    free_task(task);
}

void zt_pod_has_executed(zt_pod *pod, zt_task *task)
{
    task->shares.memory = task->shares.files = task->shares.handlers = ++pod->last_share;
}

void zt_pod_has_own_files(zt_pod *pod, zt_task *task)
{
    task->shares.files = ++pod->last_share;
}

void zt_pod_has_own_directory(zt_pod *pod, zt_task *task)
{
    task->shares.directory = ++pod->last_share;
}

void zt_pod_made_by(zt_task *task, zt_task *maker, uint64_t clone_flags)
{
    const zt_shares *theirs = &maker->shares;
    zt_shares *ours = &task->shares;
    if (clone_flags & CLONE_VM)
        ours->memory = theirs->memory;
    if (clone_flags & CLONE_VM && task->process != maker->process) { /* slots are memory */
        task->scratch_slot = maker->process->next_slot++ % ZT_STUB_SCRATCH_SLOTS;
        task->process->next_slot = maker->process->next_slot;
    }
    if (clone_flags & CLONE_FILES)
        ours->files = theirs->files;
    if (clone_flags & CLONE_FS)
        ours->directory = theirs->directory;
    if (clone_flags & CLONE_SIGHAND)
        ours->handlers = theirs->handlers;
}

int zt_pod_set_vtid(zt_pod *pod, zt_task *task, zt_vpid vtid)
{
    if (task->process->rpid.n == task->rtid.n)
        task->process->vpid = vtid;
    task->vtid = vtid;
    return zt_idtable_bind(&pod->ids, vtid, task->rtid);
}

zt_process *zt_pod_process(zt_pod *pod, zt_rpid rpid)
{
    zt_task *task = zt_pod_task(pod, rpid.n);
    if (task)
        return task->process;
    for (task = pod->tasks; task; task = task->next) /* its leader may have ended before it */
        if (task->process->rpid.n == rpid.n)
            return task->process;
    return NULL;
}

bool zt_task_is_plain(const zt_pod *pod, const zt_task *task)
{
    return !task->filter && !task->landlocked && task->no_new_privs == pod->no_new_privs &&
           task->process->dumpable == 1;
}

uint64_t zt_task_scratch(const zt_task *task)
{
    return ZT_STUB_SCRATCH + (uint64_t)task->scratch_slot * (ZT_STUB_SCRATCH_SLOT + ZT_STUB_SCRATCH_AGAIN);
}

void zt_pod_tell(zt_pod *pod, const char *text)
{
    zt_tiding *tiding = malloc(sizeof *tiding + strlen(text) + 1), **end = &pod->tidings;
    if (!tiding)
        return; /* it is lost; the pod is not */
    strcpy(tiding->text, text);
    tiding->next = NULL;
    while (*end)
        end = &(*end)->next;
    *end = tiding;
    atomic_store(&pod->woken, true); /* somebody is to hear of it now */
}

int zt_pod_told(zt_pod *pod, char *ret, int32_t size)
{
    zt_tiding *tiding = pod->tidings;
    if (!tiding)
        return 0;
    snprintf(ret, (size_t)size, "%s", tiding->text);
    pod->tidings = tiding->next;
    free(tiding);
    return 1;
}

void zt_pod_pause(zt_pod *pod)
{
    const int error = errno;
    if (pod->looker.begun)
        zt_turn_give(&pod->looker.turn);
    errno = error;
}

void zt_pod_go_on(zt_pod *pod)
{
    const int error = errno;
    if (pod->looker.begun)
        zt_turn_take(&pod->looker.turn, ZT_TURN_TRACER);
    errno = error;
}
