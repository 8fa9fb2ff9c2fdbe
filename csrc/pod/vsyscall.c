#include "vsyscall.h"

#include <sys/time.h>
#include <time.h>

#include "../base/proc.h"
#include "../ptrace/mem.h"

/* Documentation/arch/x86/x86_64/mm.rst; arch/x86/entry/vsyscall/vsyscall_emu_64.S */
static const uint64_t PAGE_AT = 0xffffffffff600000;
enum { APART = 1024, GETTIMEOFDAY = 0, TIME = 1, GETCPU = 2 };

/* What a call was to write goes to where it asked for it, if it did. */
static bool put(zt_stopped thread, uint64_t address, const void *from, size_t size)
{
    zt_err fault;
    return !address || !zt_mem_put(thread.rtid, address, from, size, &fault);
}

/* False: it does not let us write there, so that the fault is its own. */
static bool serve(zt_stopped thread, zt_regs *regs, uint64_t call)
{
    struct timeval now;
    zt_proc_stat stat = {0};
    gettimeofday(&now, NULL);
    regs->rax = call == TIME ? (uint64_t)now.tv_sec : 0;
    if (call == TIME)
        return put(thread, regs->rdi, &now.tv_sec, sizeof now.tv_sec);
    if (call == GETTIMEOFDAY)
        return put(thread, regs->rdi, &now, sizeof now) && put(thread, regs->rsi, &(struct timezone){0}, 8);
    zt_proc_get_stat(thread.rtid, &stat);
    return put(thread, regs->rdi, &stat.cpu, 4) && put(thread, regs->rsi, &(uint32_t){0}, 4);
}

int zt_vsyscall_answer(zt_pod *pod, zt_task *task, const siginfo_t *info, bool *ret, zt_err *err)
{
    zt_stopped thread = zt_task_stopped(task);
    zt_regs regs;
    uint64_t back;
    *ret = false;
    if (!pod->moved || info->si_code <= 0 || (uint64_t)info->si_addr < PAGE_AT)
        return 0;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    const uint64_t call = (regs.rip - PAGE_AT) / APART;
    if (regs.rip != (uint64_t)info->si_addr || regs.rip % APART || call > GETCPU ||
        zt_mem_read(thread.rtid, regs.rsp, &back, sizeof back) != (int64_t)sizeof back || !serve(thread, &regs, call))
        return 0;
    regs.rip = back;
    regs.rsp += sizeof back;
    *ret = true;
    return zt_stopped_set_regs(thread, &regs, err);
}
