/* All threads of a pod to rest, and back; or to their end. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../base/proc.h"
#include "../pod/blocked/blocked.h"
#include "../pod/blocked/seen.h"
#include "../pod/members.h"
#include "../pod/shares.h"
#include "attach.h"
#include "ends.h"
#include "loop.h"

/* A leader that has ended while its threads go on never stops again. */
static void look_for_ended_leaders(zt_pod *pod)
{
    zt_proc_stat stat;
    for (zt_task *task = pod->tasks; task; task = task->next)
        if (task->state == ZT_TASK_RUNNING && task->rtid.n == task->process->rpid.n && task->process->threads > 1 &&
            zt_proc_get_stat(task->rtid.n, &stat) && stat.state == 'Z')
            task->state = ZT_TASK_ENDED;
}

static const zt_task *not_at_rest(const zt_pod *pod)
{
    for (const zt_task *task = pod->tasks; task; task = task->next) {
        /* Of a leader that was the last to go, the end is on the way. */
        bool ended = task->state == ZT_TASK_ENDED && task->process->threads > 1;
        if (task->state != ZT_TASK_REST && !ended)
            return task;
    }
    return NULL;
}

static int32_t first_early(const zt_pod *pod)
{
    for (uint32_t i = 0; pod->early.used && i <= pod->early.mask; i++)
        if (pod->early.slots[i].key)
            return pod->early.slots[i].key;
    return 0;
}

static const char *why_late(const zt_task *task)
{
    zt_proc_stat stat;
    if (task->state == ZT_TASK_VFORK || task->process->vfork_in_kernel)
        return "it is between vfork and exec";
    if (zt_proc_get_stat(task->rtid.n, &stat) && stat.state == 'D')
        return "it is in a call that cannot be interrupted";
    return "it was told to, and goes on";
}

/* Until everything is at rest, whatever it is that is missing. */
static int await_rest(zt_pod *pod, int64_t limit_ns, int32_t timeout_ms, zt_err *err)
{
    enum { YIELDS = 50, SHORT_NAPS = 200, LOOK_EVERY = 50 };
    const zt_task *late;
    for (long idle = 0; (late = not_at_rest(pod)) || pod->early.used;) {
        int took = zt_loop_step(pod, WNOHANG, err);
        if (took < 0)
            return -1;
        if (atomic_load(&pod->cancelled))
            return zt_fail(err, ZT_ERR_CANCELLED, 0, "the freeze was given up");
        if (zt_now_ns() > limit_ns && late)
            return zt_fail(err, ZT_ERR_TIMEOUT, 0, "process %d did not stop within %d ms: %s", late->process->vpid.n,
                           timeout_ms, why_late(late));
        if (zt_now_ns() > limit_ns)
            return zt_fail(err, ZT_ERR_TIMEOUT, 0, "a new process (%d on this host) was not told of within %d ms",
                           first_early(pod), timeout_ms);
        if (took) {
            idle = 0;
        } else if (++idle < YIELDS) {
            zt_pod_pause(pod);
            sched_yield();
            zt_pod_go_on(pod);
        } else {
            if (idle % LOOK_EVERY == 0)
                look_for_ended_leaders(pod);
            zt_loop_nap(pod, idle < SHORT_NAPS ? 50000 : 1000000);
        }
    }
    return 0;
}

static bool lives(void *pod, zt_vpid process)
{
    return zt_pod_process(pod, (zt_rpid){process.n});
}

/* In a pod that nobody is attached to, who is there is found by looking until nobody new is. */
static int bring_to_rest(zt_pod *pod, int64_t limit_ns, int32_t timeout_ms, zt_err *err)
{
    for (int more = 1; more;) {
        more = pod->detaches ? zt_loop_attach_all(pod, true, err) : 0;
        if (more < 0 || await_rest(pod, limit_ns, timeout_ms, err))
            return -1;
    }
    if (!pod->notified) /* births have told who shares what, all of them */
        return 0;
    zt_ipc_look_for_ended(&pod->ipcs, lives, pod);
    return zt_shares_learn(pod, err);
}

/* What the freeze has left in sockets, other threads and a capture would find. */
static int take_out_errors(zt_pod *pod, zt_err *err)
{
    int fd;
    uint32_t ran;
    for (zt_task *task = pod->tasks, *next; task; task = next) {
        next = task->next;
        if (task->state != ZT_TASK_REST || !zt_blocked_left_error(task, &fd))
            continue;
        int32_t data[] = {0, sizeof(int32_t)}; /* the error, and its size */
        const uint64_t at = zt_stub_data(1);
        zt_program_row row = {.nr = SYS_getsockopt,
                              .args = {(uint64_t)fd, SOL_SOCKET, SO_ERROR, at, at + sizeof *data}};
        if (!zt_loop_run_program(pod, task->rtid.n, &row, 1, data, sizeof data, &ran, err))
            zt_blocked_error_was(task, data[0]);
        else if (err->kind != ZT_ERR_GONE)
            return -1;
    }
    return 0;
}

int zt_loop_freeze(zt_pod *pod, int32_t timeout_ms, zt_err *err)
{
    if (pod->freezing)
        return zt_fail(err, ZT_ERR_STATE, 0, "the pod is frozen already");
    zt_blocked_clocks clocks;
    zt_blocked_calibrate(&clocks);
    for (zt_task *task = pod->tasks; task; task = task->next)
        if (task->state == ZT_TASK_RUNNING)
            zt_blocked_look(&clocks, task);

    pod->freezing = true;
    pod->frozen_at_ns = zt_now_ns();
    for (zt_task *task = pod->tasks; task; task = task->next)
        if ((task->state == ZT_TASK_RUNNING || task->state == ZT_TASK_LISTENING) && zt_pod_shall_rest(pod, task))
            zt_interrupt(task->rtid.n, err); /* ESRCH: its end is on the way */

    const int64_t limit_ns = pod->frozen_at_ns + timeout_ms * 1000000ll;
    if (!zt_loop_rest_makers(pod, err) && !bring_to_rest(pod, limit_ns, timeout_ms, err) && !take_out_errors(pod, err))
        return 0;
    zt_err also;
    if (zt_loop_thaw(pod, &also))
        pod->broken = also; /* it is neither frozen nor running */
    return -1;
}

/* --- those who wait in a queue go first, each when the one before is in it again */

typedef struct queued {
    int64_t since;
    int32_t rtid;
} queued;

static int earlier(const void *a, const void *b)
{
    const queued *one = a, *other = b;
    return one->since < other->since ? -1 : one->since > other->since;
}

static queued *queued_of(const zt_pod *pod, size_t *ret_count)
{
    queued *all = calloc(pod->task_count, sizeof *all);
    *ret_count = 0;
    for (const zt_task *task = pod->tasks; task && all; task = task->next)
        if (task->state == ZT_TASK_REST && task->queued)
            all[(*ret_count)++] = (queued){task->queued, task->rtid.n};
    if (all)
        qsort(all, *ret_count, sizeof *all, earlier);
    return all;
}

/* Until it waits in its queue again, or does something else: one that has what it waited for, and runs on
 * and on, has soon used more of a processor than the way takes. When it gets that is up to the host. */
static bool is_on_its_way(const zt_task *task, int64_t had_run_ns)
{
    enum { WAY_NS = 20000000 };
    const int32_t rtid = task->rtid.n;
    long nr;
    zt_proc_stat stat;
    uint64_t args[6];
    if (task->state != ZT_TASK_RUNNING || !zt_proc_get_stat(rtid, &stat) || stat.state == 'Z' || stat.state == 'X')
        return false;
    if (zt_seen_call(rtid, &nr, args)) /* one that is stopped on the way in shows its call, too */
        return stat.state != 'S' && zt_row_of((int32_t)nr)->queue;
    return zt_seen_cpu_time(rtid) < had_run_ns + WAY_NS;
}

static int await_waiting(zt_pod *pod, int32_t rtid, int64_t had_run_ns, int64_t limit_ns, zt_err *err)
{
    zt_task *task;
    while ((task = zt_pod_task(pod, rtid)) && is_on_its_way(task, had_run_ns) && zt_now_ns() < limit_ns) {
        const int took = zt_loop_step(pod, WNOHANG, err);
        if (took < 0)
            return -1;
        if (!took)
            zt_loop_nap(pod, 50000);
    }
    if (task)
        zt_blocked_queued(task);
    return 0;
}

static int let_go(zt_pod *pod, zt_task *task, zt_err *err)
{
    zt_err one;
    const bool was_interrupted = task->interrupted;
    const int failed = zt_blocked_thaw(task, &one);
    task->hears = was_interrupted && !task->reissue.active; /* it is told of the signal that was the reason */
    if (!failed && !zt_loop_at_rest(pod, task, task->group_stop, &one))
        return 0;
    if (one.kind == ZT_ERR_GONE)
        return 0;
    *err = one;
    return -1;
}

static int let_queued_go(zt_pod *pod, zt_err *err)
{
    enum { LIMIT_MS = 10000 }; /* for all: others of the pod wait for it */
    const int64_t limit_ns = zt_now_ns() + LIMIT_MS * 1000000ll;
    size_t count;
    int failed = 0;
    queued *all = queued_of(pod, &count);
    for (size_t i = 0; count > 1 && i < count; i++) {
        zt_task *task = zt_pod_task(pod, all[i].rtid);
        if (!task || task->state != ZT_TASK_REST || task->group_stop)
            continue;
        const int64_t had_run_ns = zt_seen_cpu_time(all[i].rtid);
        if (let_go(pod, task, err) || await_waiting(pod, all[i].rtid, had_run_ns, limit_ns, err))
            failed = -1;
    }
    free(all);
    return failed;
}

int zt_loop_thaw(zt_pod *pod, zt_err *err)
{
    zt_err one;
    pod->freezing = false;
    pod->lines_up = true;
    int failed = let_queued_go(pod, err);
    pod->lines_up = false;
    for (zt_task *task = pod->tasks, *next; task; task = next) {
        next = task->next;
        task->awaits_freeze = false;
        task->process->whole = false;
        if (task->loose && !task->taken) {
            zt_pod_forget_task(pod, task);
            continue;
        }
        if (task->state == ZT_TASK_ENDED)
            task->state = ZT_TASK_RUNNING;
        if (task->state != ZT_TASK_REST)
            continue;
        if (let_go(pod, task, &one) && !failed) {
            failed = -1;
            *err = one;
        }
    }
    return failed;
}

int zt_loop_frozen(zt_pod *pod)
{
    return pod->freezing;
}

void zt_loop_cancel(zt_pod *pod, int32_t wanted)
{
    atomic_store(&pod->cancelled, wanted != 0);
}

static void kill_all(zt_pod *pod)
{
    if (pod->notified)
        zt_members_kill(pod);
    for (const zt_task *task = pod->tasks; task; task = task->next)
        kill(task->process->rpid.n, SIGKILL);
    for (uint32_t i = 0; i <= pod->early.mask; i++)
        if (pod->early.slots[i].key)
            kill(pod->early.slots[i].key, SIGKILL);
}

static void forget_loose(zt_pod *pod)
{
    for (zt_task *task = pod->tasks, *next; task; task = next) {
        next = task->next;
        if (task->loose && !task->taken)
            zt_pod_forget_task(pod, task);
    }
}

int zt_loop_kill(zt_pod *pod, zt_err *err)
{
    enum { LIMIT_MS = 30000 };
    const int64_t limit_ns = zt_now_ns() + LIMIT_MS * 1000000ll;
    forget_loose(pod);
    for (int took = 0; pod->task_count || pod->early.used || zt_pod_lives_apart(pod);) {
        if (took <= 0) /* nothing came: the first time, or somebody was born meanwhile */
            kill_all(pod);
        took = zt_loop_step(pod, WNOHANG, err);
        if (took < 0 && err->os_errno == ECHILD)
            break; /* what we still know of is not there any more */
        if (zt_now_ns() > limit_ns)
            return zt_fail(err, ZT_ERR_TIMEOUT, 0, "process %d did not end within %d ms of SIGKILL: %s",
                           pod->tasks ? pod->tasks->process->vpid.n : first_early(pod), LIMIT_MS,
                           pod->tasks ? why_late(pod->tasks) : "it is new");
        if (took <= 0)
            zt_loop_nap(pod, 500000);
    }
    while (pod->tasks)
        zt_pod_remove_task(pod, pod->tasks);
    pod->freezing = false;
    zt_loop_reap_inherited(pod);
    zt_ipc_clear(&pod->ipcs); /* nobody of the pod is left to use them */
    return 0;
}
