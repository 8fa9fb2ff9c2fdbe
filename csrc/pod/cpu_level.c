#include "cpu_level.h"

#include <elf.h>
#include <errno.h>
#include <string.h>

#include "../ptrace/fresh.h"
#include "../ptrace/mem.h"
#include "../ptrace/stub.h"

enum { SEGV_BLOCKED = 1, SEGV_IGNORED = 2 };

static const uint64_t SEGV_BIT = 1ull << (SIGSEGV - 1);

/* struct sigaction as the kernel has it. */
typedef struct action {
    uint64_t handler, flags, restorer, mask;
} action;

static int set_word(zt_stopped thread, uint64_t sp, uint64_t kind, uint64_t *value, zt_err *err)
{
    uint64_t entry, now = 0;
    if (zt_fresh_auxv(thread, sp, kind, &entry, &now, err))
        return -1;
    if (!entry)
        return 0;
    *value = zt_arch_auxv_at_level(kind, now);
    return zt_mem_put(thread.rtid, entry, value, sizeof *value, err);
}

static int tell_auxv(zt_stopped thread, zt_err *err)
{
    static const uint64_t KINDS[] = {AT_HWCAP, AT_HWCAP2, ZT_AT_MINSIGSTKSZ};
    zt_regs regs;
    uint64_t value;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (set_word(thread, regs.rsp, KINDS[i], &value, err))
            return -1;
    return 0;
}

int zt_cpu_level_begin(zt_pod *pod, zt_task *task, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    action old = {0};
    uint64_t mask;
    uint32_t done;
    if (!pod->cpu_level)
        return 0;
    if (!pod->cpu_faulting)
        return tell_auxv(thread, err);
    zt_program_row rows[] = {
        {.nr = (uint32_t)zt_arch_nr(ZT_NR_ARCH_PRCTL), .args = {ZT_ARCH_SET_CPUID, 0}}, /* ENODEV: it has none */
        {.nr = (uint32_t)zt_arch_nr(ZT_NR_RT_SIGACTION), .args = {SIGSEGV, 0, zt_stub_data(2), 8}},
    };
    if (zt_stub_run(thread, rows, 2, &old, sizeof old, NULL, NULL, NULL, &done, err) ||
        zt_stopped_get_mask(thread, &mask, err))
        return -1;
    task->process->segv = (mask & SEGV_BIT ? SEGV_BLOCKED : 0) | (old.handler == (uintptr_t)SIG_IGN ? SEGV_IGNORED : 0);
    return tell_auxv(thread, err);
}

/* As it was before the kernel forced the signal. */
static int put_back(zt_task *task, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    action ignored = {.handler = (uintptr_t)SIG_IGN};
    zt_program_row row = {.nr = (uint32_t)zt_arch_nr(ZT_NR_RT_SIGACTION), .args = {SIGSEGV, zt_stub_data(1), 0, 8}};
    zt_stop rest;
    uint64_t mask;
    uint32_t done;
    if (task->process->segv & SEGV_BLOCKED &&
        (zt_stopped_get_mask(thread, &mask, err) || zt_stopped_set_mask(thread, mask | SEGV_BIT, err)))
        return -1;
    if (!(task->process->segv & SEGV_IGNORED))
        return 0;
    if (zt_stopped_rest(thread, &rest, err))
        return -1;
    if (rest.kind == ZT_STOP_EXITED)
        return zt_fail(err, ZT_ERR_GONE, ESRCH, "thread %d was killed", thread.rtid);
    return zt_stub_run(thread, &row, 1, &ignored, sizeof ignored, NULL, NULL, NULL, &done, err);
}

int zt_cpu_level_answer(zt_pod *pod, zt_task *task, const siginfo_t *info, bool *ret, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    unsigned char bytes[ZT_ARCH_CPUID_BYTES];
    zt_regs regs;
    *ret = false;
    if (!pod->cpu_level || !pod->cpu_faulting || info->si_code != SI_KERNEL)
        return 0;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    if (zt_mem_read(thread.rtid, regs.rip, bytes, sizeof bytes) != (int64_t)sizeof bytes ||
        memcmp(bytes, zt_arch_cpuid_insn, sizeof bytes) != 0)
        return 0;
    zt_arch_answer_cpuid(&regs, pod->cpu_level);
    *ret = true;
    return zt_stopped_set_regs(thread, &regs, err) || (task->process->segv && put_back(task, err)) ? -1 : 0;
}
