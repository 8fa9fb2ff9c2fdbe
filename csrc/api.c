/* The door: checks, no logic. */
#include "api.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "pod/blocked/blocked.h"
#include "pod/members.h"
#include "ptrace/filter.h"
#include "ptrace/stop.h"
#include "ptrace/stub.h"

static int at_rest(zt_pod *pod, int32_t rtid, zt_stopped *ret, zt_err *err)
{
    const zt_task *task = zt_pod_task(pod, rtid);
    if (!task)
        return zt_fail(err, ZT_ERR_GONE, ESRCH, "thread %d is gone", rtid);
    if (task->state != ZT_TASK_REST)
        return zt_fail(err, ZT_ERR_STATE, EBUSY, "thread %d is not at rest", rtid);
    *ret = zt_task_stopped(task);
    return 0;
}

int zt_pod_detaches(zt_pod *pod)
{
    return pod->detaches;
}

typedef struct listing {
    zt_task_info *infos;
    int32_t count, capacity;
} listing;

static int list(void *context, int32_t rpid, int32_t rtid)
{
    listing *all = context;
    if (all->count++ < all->capacity)
        all->infos[all->count - 1] =
            (zt_task_info){.rtid = rtid, .vtid = rtid, .rpid = rpid, .vpid = rpid, .left_ns = -1, .dumpable = 1};
    return 0;
}

int zt_pod_tasks(zt_pod *pod, zt_task_info *ret, int32_t capacity)
{
    int32_t count = 0;
    listing apart = {ret, 0, capacity};
    if (pod->detaches && !pod->freezing) {
        zt_members_each(pod, list, &apart);
        return apart.count;
    }
    for (const zt_task *task = pod->tasks; task; task = task->next, count++) {
        if (count >= capacity)
            continue;
        ret[count] = (zt_task_info){
            .rtid = task->rtid.n,
            .vtid = task->vtid.n,
            .rpid = task->process->rpid.n,
            .vpid = task->process->vpid.n,
            .stopped = task->state == ZT_TASK_REST,
            .group_stop = task->group_stop,
            .ended = task->state == ZT_TASK_ENDED,
            .interrupted = task->interrupted,
            .left_ns = zt_blocked_left(pod, task),
            .queued = task->queued,
            .memory = task->shares.memory,
            .files = task->shares.files,
            .directory = task->shares.directory,
            .handlers = task->shares.handlers,
            .awaited_by = task->vfork_maker ? task->vfork_maker->rtid.n : 0,
            .control_size = task->control_size,
            .dumpable = task->process->dumpable,
            .landlocked = task->landlocked,
            .filter = task->filter,
            .no_new_privs = task->no_new_privs,
        };
    }
    return count;
}

void zt_pod_set_dumpable(zt_pod *pod, int32_t rpid, int32_t dumpable)
{
    zt_process *process = zt_pod_process(pod, (zt_rpid){rpid});
    if (process)
        process->dumpable = dumpable;
}

void zt_pod_set_filter(zt_pod *pod, int32_t rtid, int32_t filter, int32_t no_new_privs)
{
    zt_task *task = zt_pod_task(pod, rtid);
    if (task) {
        task->filter = filter;
        task->no_new_privs = no_new_privs;
    }
}

int zt_pod_has_begun(zt_pod *pod)
{
    return pod->task_count > 0 || pod->root.n;
}

int zt_pod_root_status(zt_pod *pod, int32_t *ret_status)
{
    *ret_status = pod->root_status;
    return pod->root_ended;
}

int zt_pod_await_end(zt_pod *pod, int32_t rtid, int32_t fd)
{
    return zt_intmap_put(&pod->awaited, rtid, (uintptr_t)fd) ? -ENOMEM : 0;
}

uint64_t zt_pod_stops(zt_pod *pod, int32_t kind)
{
    return kind >= 0 && kind < ZT_COUNT_KINDS ? pod->counts.stops[kind] : 0;
}

void zt_pod_call_stops(zt_pod *pod, int32_t nr, zt_call_stops *ret)
{
    *ret = *zt_counts_of(&pod->counts, nr);
}

int32_t zt_can_look(void)
{
    return zt_looker_is_possible();
}

int32_t zt_call_refusal(int32_t nr)
{
    return zt_row_of(nr)->refuse_errno;
}

void zt_pod_expect_vpid(zt_pod *pod, int32_t vpid)
{
    pod->expected_vpid = vpid;
}

void zt_pod_set_clock(zt_pod *pod, int64_t offset_ns)
{
    zt_err ignored; /* a process that died meanwhile */
    pod->clock_offset_ns = offset_ns;
    for (const zt_task *task = pod->tasks; task; task = task->next)
        task->process->knows_clock = !task->process->ready;
    for (const zt_task *task = pod->tasks; task; task = task->next) /* a first thread may have ended */
        if (!task->process->knows_clock)
            task->process->knows_clock = !zt_stub_set_params(task->rtid.n, &pod->host, offset_ns, &ignored);
}

void zt_pod_set_cpu_level(zt_pod *pod, int32_t level, int32_t faulting)
{
    pod->cpu_level = level;
    pod->wants_all = pod->wants_all || (level && pod->detaches); /* CPUID is a signal that we answer */
    pod->cpu_faulting = faulting;
}

void zt_pod_keep_out(zt_pod *pod, uint64_t signals, int32_t fd)
{
    pod->kept_out = signals;
    pod->wants_all = pod->wants_all || (signals && pod->detaches); /* they are seen when they are delivered */
    pod->kept_out_fd = fd;
}

int32_t zt_pod_keeps_out(zt_pod *pod, const void *siginfo)
{
    return zt_pod_is_kept_out(pod, siginfo);
}

int32_t zt_pod_cpu_level(zt_pod *pod)
{
    return pod->cpu_level;
}

int32_t zt_pod_cpu_faulting(zt_pod *pod)
{
    return pod->cpu_faulting;
}

void zt_pod_set_patience(zt_pod *pod, int32_t row_ms)
{
    pod->patience_ms = row_ms;
}

int64_t zt_pod_clock(zt_pod *pod)
{
    return pod->clock_offset_ns;
}

zt_store *zt_pod_store(zt_pod *pod)
{
    return &pod->store;
}

zt_ipcs *zt_pod_ipcs(zt_pod *pod)
{
    return &pod->ipcs;
}

void zt_pod_show_senders(zt_pod *pod)
{
    pod->senders = true;
}

void zt_pod_show_addresses(zt_pod *pod)
{
    pod->addresses = true;
}

int zt_pod_wants(zt_pod *pod)
{
    return pod->wants_senders || pod->wants_kept;
}

int zt_pod_wants_senders(zt_pod *pod)
{
    const bool wants = pod->wants_senders;
    pod->wants_senders = false;
    return wants;
}

int zt_pod_keep(zt_pod *pod, uint32_t inode, int32_t waits)
{
    pod->keeps = true;
    if (waits)
        return zt_intmap_put(&pod->kept, (int32_t)inode, 1) ? -ENOMEM : 0;
    zt_intmap_remove(&pod->kept, (int32_t)inode);
    return 0;
}

int32_t zt_pod_keeps(zt_pod *pod)
{
    return pod->keeps;
}

int32_t zt_pod_wants_kept(zt_pod *pod)
{
    const int32_t rtid = pod->wants_kept;
    pod->wants_kept = 0;
    return rtid;
}

int32_t zt_filter_code(int32_t kept, void *ret, int32_t capacity)
{
    const struct sock_fprog *filter = kept ? zt_filter_of_kept() : zt_filter_of_senders();
    const int32_t size = (int32_t)(filter->len * sizeof *filter->filter);
    if (size <= capacity)
        memcpy(ret, filter->filter, (size_t)size);
    return size;
}

int32_t zt_ids_to_real(zt_pod *pod, int32_t vpid)
{
    return zt_idtable_to_real(&pod->ids, (zt_vpid){vpid}).n;
}

int32_t zt_ids_to_virtual(zt_pod *pod, int32_t rpid)
{
    return zt_pod_virtual(pod, rpid).n;
}

int32_t zt_ids_peer(zt_pod *pod, int32_t rpid)
{
    return zt_pod_peer(pod, rpid).n;
}

int zt_ids_stood_in(zt_pod *pod, int32_t vpid, int32_t rpid)
{
    return zt_pod_stood_in(pod, (zt_vpid){vpid}, (zt_rpid){rpid});
}

int zt_ids_bind(zt_pod *pod, int32_t vpid, int32_t rpid)
{
    zt_task *task = zt_pod_task(pod, rpid);
    if (task)
        return zt_pod_set_vtid(pod, task, (zt_vpid){vpid});
    return zt_idtable_bind(&pod->ids, (zt_vpid){vpid}, (zt_rpid){rpid});
}

int zt_regs_get(zt_pod *pod, int32_t rtid, zt_regs *ret, zt_err *err)
{
    zt_stopped thread;
    return at_rest(pod, rtid, &thread, err) ? -1 : zt_stopped_get_regs(thread, ret, err);
}

int zt_regs_set(zt_pod *pod, int32_t rtid, const zt_regs *regs, zt_err *err)
{
    zt_stopped thread;
    return at_rest(pod, rtid, &thread, err) ? -1 : zt_stopped_set_regs(thread, regs, err);
}

int zt_xstate_get(zt_pod *pod, int32_t rtid, void *ret, uint64_t capacity, uint64_t *ret_size, zt_err *err)
{
    zt_stopped thread;
    return at_rest(pod, rtid, &thread, err) ? -1 : zt_stopped_get_xstate(thread, ret, capacity, ret_size, err);
}

int zt_xstate_set(zt_pod *pod, int32_t rtid, const void *state, uint64_t size, zt_err *err)
{
    zt_stopped thread;
    return at_rest(pod, rtid, &thread, err) ? -1 : zt_stopped_set_xstate(thread, state, size, err);
}

int zt_sigmask_get(zt_pod *pod, int32_t rtid, uint64_t *ret, zt_err *err)
{
    zt_stopped thread;
    return at_rest(pod, rtid, &thread, err) ? -1 : zt_stopped_get_mask(thread, ret, err);
}

int zt_sigmask_set(zt_pod *pod, int32_t rtid, uint64_t mask, zt_err *err)
{
    zt_stopped thread;
    if (at_rest(pod, rtid, &thread, err) || zt_stopped_set_mask(thread, mask, err))
        return -1;
    zt_pod_task(pod, rtid)->process->segv = 0; /* this is a program that began long ago */
    return 0;
}

int zt_siginfo_peek(zt_pod *pod, int32_t rtid, int32_t shared, void *ret, int32_t most, int32_t *ret_count, zt_err *err)
{
    zt_stopped thread;
    return at_rest(pod, rtid, &thread, err) ? -1 : zt_stopped_peek_siginfo(thread, shared, ret, most, ret_count, err);
}

int zt_rseq_get(zt_pod *pod, int32_t rtid, zt_rseq *ret, zt_err *err)
{
    zt_stopped thread;
    return at_rest(pod, rtid, &thread, err) ? -1 : zt_stopped_get_rseq(thread, ret, err);
}

int zt_call_reissue(zt_pod *pod, int32_t rtid, int64_t left_ns, int64_t control_size, zt_err *err)
{
    zt_stopped thread;
    if (at_rest(pod, rtid, &thread, err))
        return -1;
    zt_task *task = zt_pod_task(pod, rtid);
    task->control_size = control_size;
    return zt_blocked_reissue(task, left_ns, err);
}

int zt_call_asked(zt_pod *pod, int32_t rtid, int64_t ret[7], zt_err *err)
{
    zt_stopped thread;
    zt_regs regs;
    if (at_rest(pod, rtid, &thread, err) || zt_stopped_get_regs(thread, &regs, err))
        return -1;
    ret[0] = zt_pod_task(pod, rtid)->awaits_freeze ? zt_arch_result(&regs) : -1;
    zt_arch_get_args(&regs, (uint64_t *)ret + 1);
    return 0;
}

int zt_call_answer(zt_pod *pod, int32_t rtid, int64_t answer, zt_err *err)
{
    zt_stopped thread;
    zt_regs regs;
    if (at_rest(pod, rtid, &thread, err) || zt_stopped_get_regs(thread, &regs, err))
        return -1;
    zt_arch_leave_call(&regs, answer);
    return zt_stopped_set_regs(thread, &regs, err);
}

int zt_call_queue(zt_pod *pod, int32_t rtid, int64_t queued, zt_err *err)
{
    zt_stopped thread;
    if (at_rest(pod, rtid, &thread, err))
        return -1;
    zt_pod_task(pod, rtid)->queued = queued;
    return 0;
}

int zt_kcmp(int32_t rpid1, int32_t rpid2, int32_t type, uint64_t idx1, uint64_t idx2)
{
    long result = syscall(SYS_kcmp, rpid1, rpid2, type, idx1, idx2);
    return result < 0 ? -errno : (int)result;
}

int zt_pidfd_getfd(int32_t rtid, int32_t fd)
{
    const unsigned of_any_thread = O_EXCL; /* PIDFD_THREAD, Linux 6.9 */
    int pidfd = (int)syscall(SYS_pidfd_open, rtid, 0);
    if (pidfd < 0 && (errno == EINVAL || errno == ENOENT))
        pidfd = (int)syscall(SYS_pidfd_open, rtid, of_any_thread);
    if (pidfd < 0)
        return -errno;
    int copy = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    int error = errno;
    close(pidfd);
    return copy < 0 ? -error : copy;
}
