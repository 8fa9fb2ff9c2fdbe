#include "safepoint.h"

#include <signal.h>
#include <string.h>

#include "../ptrace/mem.h"

/* struct rseq and struct rseq_cs, include/uapi/linux/rseq.h */
enum { RSEQ_CS_OFFSET = 8 };
struct critical_section {
    uint32_t version, flags;
    uint64_t start, length, abort;
};

static int abort_restartable_sequence(zt_stopped thread, zt_regs *regs, zt_err *err)
{
    zt_rseq rseq;
    uint64_t pointer;
    struct critical_section section;
    if (zt_stopped_get_rseq(thread, &rseq, err))
        return -1;
    if (!rseq.address || zt_mem_read(thread.rtid, rseq.address + RSEQ_CS_OFFSET, &pointer, sizeof pointer) < 8)
        return 0;
    if (!pointer || zt_mem_read(thread.rtid, pointer, &section, sizeof section) != sizeof section)
        return 0;
    if (regs->rip - section.start >= section.length)
        return 0;
    regs->rip = section.abort;
    return zt_stopped_set_regs(thread, regs, err);
}

static bool is_trap(zt_stop stop)
{
    return stop.kind == ZT_STOP_SIGNAL && stop.value == SIGTRAP;
}

/* Also behind a call that it made of the kernel: those are of clocks, and are never made again. */
static bool in_vdso(const zt_regs *regs)
{
    return (regs->rip >= ZT_STUB_VDSO && regs->rip < ZT_STUB_INTERPRETER) ||
           (regs->rip > ZT_STUB_ISSUED && regs->rip < ZT_STUB_HOST + ZT_STUB_HOST_SIZE);
}

/* Up to the SIGTRAP of the last step: one that is left pending would be the program's. That signal is
 * not blocked meanwhile, for the kernel then forces it on a program, and takes its handler away. */
static int step_out_of_vdso(zt_stopped thread, zt_regs *regs, zt_err *err)
{
    enum { MOST_STEPS = 20000 };
    uint64_t mask;
    zt_stop stop = {0};
    if (zt_stopped_get_mask(thread, &mask, err) || zt_stopped_set_mask(thread, ~(1ull << (SIGTRAP - 1)), err))
        return -1;
    for (int i = 0; i < MOST_STEPS && (in_vdso(regs) || !is_trap(stop)); i++) {
        if (zt_stopped_resume(thread, ZT_TO_STEP, 0, err) || zt_stop_wait(thread.rtid, &stop, err))
            return -1;
        if (stop.kind == ZT_STOP_EXITED)
            return zt_stop_fail_ended(stop, err);
        if (zt_stopped_get_regs(thread, regs, err))
            return -1;
    }
    if (zt_stopped_set_mask(thread, mask, err))
        return -1;
    if (in_vdso(regs))
        return zt_fail(err, ZT_ERR_TIMEOUT, 0, "thread %d did not leave the vDSO within %d instructions", thread.rtid,
                       MOST_STEPS);
    return 0;
}

static int rest_behind_vdso(zt_stopped thread, zt_regs *regs, zt_err *err)
{
    uint64_t mask;
    zt_stop stop;
    if (step_out_of_vdso(thread, regs, err) || zt_stopped_get_mask(thread, &mask, err) ||
        zt_stopped_set_mask(thread, ~0ull, err) || zt_stopped_rest(thread, &stop, err))
        return -1;
    if (stop.kind == ZT_STOP_EXITED)
        return zt_stop_fail_ended(stop, err);
    return zt_stopped_set_mask(thread, mask, err);
}

int zt_pod_to_safe_point(zt_task *task, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    zt_regs regs;
    if (zt_stopped_get_regs(thread, &regs, err) || abort_restartable_sequence(thread, &regs, err))
        return -1;
    return in_vdso(&regs) ? rest_behind_vdso(thread, &regs, err) : 0;
}

int zt_pod_signal_behind_vdso(zt_task *task, zt_regs *regs, const siginfo_t *info, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    if (!in_vdso(regs))
        return 0;
    return step_out_of_vdso(thread, regs, err) || zt_stopped_set_siginfo(thread, info, err) ? -1 : 0;
}
