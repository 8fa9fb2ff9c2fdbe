#include "calls.h"

#include <errno.h>
#include <string.h>

#include "../pod/blocked/blocked.h"
#include "../pod/seccomp.h"
#include "attach.h"

/* The pod is being frozen: the call has not been made yet. */
static int unmake_call(zt_task *task, zt_regs *regs, zt_err *err)
{
    zt_arch_rewind_call(regs, zt_arch_call_nr(regs));
    task->in_call = false;
    return zt_stopped_set_regs(zt_task_stopped(task), regs, err);
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

zt_verdict zt_loop_decide(zt_pod *pod, zt_task *task, const zt_row *row, zt_call *call)
{
    if (row->class == ZT_UNKNOWN) {
        call->answer = -ENOSYS;
        return ZT_ANSWERED;
    }
    if (row->class == ZT_REFUSE) {
        zt_counts_refused(&pod->counts, call->nr, task->rtid.n);
        call->answer = -row->refuse_errno;
        return ZT_ANSWERED;
    }
    if (!translate_args(pod, row, call)) {
        call->answer = -ESRCH;
        return ZT_ANSWERED;
    }
    return row->enter ? row->enter(pod, task, call) : ZT_GO;
}

/* Was it stopped by a filter of its own, which we have to answer as a kernel without a tracer does? */
static int by_its_own(zt_task *task, zt_regs *regs, bool *ret, zt_err *err)
{
    unsigned long message;
    *ret = false;
    if (!task->filter)
        return 0;
    if (zt_stopped_message(zt_task_stopped(task), &message, err))
        return -1;
    *ret = zt_seccomp_stopped(task, message, regs);
    return *ret ? zt_stopped_set_regs(zt_task_stopped(task), regs, err) : 0;
}

int zt_loop_enter(zt_pod *pod, zt_task *task, zt_onward *ret, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    zt_regs regs;
    *ret = ZT_ONWARD_RUN;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    bool again = task->reissue.active && task->reissue.entered; /* then it is unmade on its way out */
    zt_call_stops *count = zt_counts_of(&pod->counts, (int32_t)zt_arch_call_nr(&regs));
    count->entered++;
    if (zt_pod_shall_rest(pod, task) && !again)
        return unmake_call(task, &regs, err);

    bool is_theirs;
    if (by_its_own(task, &regs, &is_theirs, err))
        return -1;
    if (is_theirs)
        return 0;
    zt_call *call = &task->call;
    *call = (zt_call){.nr = (int32_t)zt_arch_call_nr(&regs), .ip = regs.rip};
    call->issued_nr = call->nr;
    if (call->ip == ZT_STUB_ISSUED)
        call->ip = task->reissue.rip + ZT_ARCH_SYSCALL_BYTES;
    zt_arch_get_args(&regs, call->asked);
    memcpy(call->issued, call->asked, sizeof call->issued);
    task->row = zt_row_of(call->nr);
    zt_verdict verdict = zt_loop_decide(pod, task, task->row, call);
    if (verdict == ZT_AGAIN) {
        task->awaits_freeze = true;
        return unmake_call(task, &regs, err);
    }
    if (verdict == ZT_ANSWERED) {
        count->answered++;
        zt_arch_skip_call(&regs);
        zt_arch_set_result(&regs, call->answer);
    } else {
        zt_arch_set_args(&regs, call->issued);
        zt_arch_set_call_nr(&regs, call->issued_nr);
        if (task->filter && zt_call_is_changed(call))
            regs.rip = ZT_STUB_ISSUED; /* its filters have seen what it asked for; the kernel shows them this, too */
    }
    task->in_call = verdict == ZT_GO && zt_row_sees_exit(task->row, call, pod->moved);
    if (call->asks_for_ends)
        *ret = ZT_ONWARD_RUN_AFTER_ENDS;
    if (verdict == ZT_GO && !zt_call_is_changed(call))
        return 0;
    return zt_stopped_set_regs(thread, &regs, err);
}

static int on_exit_of_call(zt_pod *pod, zt_task *task, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    zt_regs regs;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    zt_counts_of(&pod->counts, task->in_call ? task->call.nr : (int32_t)zt_arch_call_nr(&regs))->left++;
    int64_t result = zt_arch_result(&regs);
    if (task->made.n && result > 0)
        result = task->made.n;
    zt_arch_set_result(&regs, result);
    task->made = (zt_vpid){0};
    if (task->in_call) {
        zt_call *call = &task->call;
        call->answer = result;
        if (!zt_call_interrupted(result) || call->stands_in) {
            if (task->row->result_id && result > 0)
                call->answer = zt_pod_virtual(pod, (int32_t)result).n;
            if (task->row->exit)
                task->row->exit(pod, task, call);
        }
        zt_arch_set_result(&regs, call->answer);
        zt_arch_set_args(&regs, call->asked); /* the program's registers stay as they were */
        zt_arch_set_call_nr(&regs, call->nr);
        if (zt_loop_is_issued(regs.rip))
            regs.rip = call->ip;
        if (call->again)
            zt_arch_rewind_call(&regs, call->nr);
    }
    task->in_call = false;
    return zt_stopped_set_regs(thread, &regs, err);
}

int zt_loop_call(zt_pod *pod, zt_task *task, zt_err *err)
{
    bool entering;
    if (zt_stopped_entering(zt_task_stopped(task), &entering, err))
        return -1;
    if (!entering && (task->in_call || task->made.n) && on_exit_of_call(pod, task, err))
        return -1;
    if (task->reissue.active && zt_blocked_call(task, entering, err))
        return -1;
    return entering ? 0 : zt_blocked_left_call(task, err);
}
