/* All threads of a pod to rest, and back; or to their end. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "../pod/blocked/blocked.h"
#include "loop.h"

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
        if (!zt_program_run(pod, task->rtid.n, &row, 1, data, sizeof data, &ran, err))
            zt_blocked_error_was(task, data[0]);
        else if (err->kind != ZT_ERR_GONE)
            return -1;
    }
    return 0;
}

int zt_pod_freeze(zt_pod *pod, int32_t timeout_ms, zt_err *err)
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
    const int64_t limit = pod->frozen_at_ns + timeout_ms * 1000000ll;
    for (zt_task *task = pod->tasks; task; task = task->next)
        if ((task->state == ZT_TASK_RUNNING || task->state == ZT_TASK_LISTENING) && zt_loop_shall_rest(pod, task))
            zt_interrupt(task->rtid.n, err); /* ESRCH: its end is on the way */

    const zt_task *late = NULL;
    long idle = 0;
    while (not_at_rest(pod, &late) || pod->early.used) {
        int took = zt_loop_step(pod, WNOHANG, err);
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
    return take_out_errors(pod, err);
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
        if ((zt_blocked_thaw(task, err) || zt_loop_at_rest(pod, task, task->group_stop, err)) &&
            err->kind != ZT_ERR_GONE)
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
        if (zt_loop_step(pod, WNOHANG, &ignored) <= 0) {
            const struct timespec nap = {0, 500000};
            nanosleep(&nap, NULL);
        }
    }
    pod->freezing = false;
    zt_loop_reap_orphans(pod);
    return 0;
}
