#include "fresh.h"

#include <elf.h>
#include <errno.h>

#include "mem.h"

int zt_fresh_auxv(zt_stopped thread, uint64_t sp, uint64_t kind, uint64_t *ret, uint64_t *ret_value, zt_err *err)
{
    enum { BITE = 512 }; /* words; argv and envp end with NULL each, then come pairs up to AT_NULL */
    uint64_t words[BITE];
    uint64_t at = sp + 8;
    int nulls = 0;
    bool second = false;
    uint64_t key = 0;
    *ret = 0;
    for (;;) {
        int64_t got = zt_mem_read(thread.rtid, at, words, sizeof words);
        if (got < 8)
            return zt_fail(err, ZT_ERR_OS, EFAULT, "cannot read the stack of a new program");
        for (int64_t i = 0; i < got / 8; i++, at += 8) {
            if (nulls < 2) {
                nulls += words[i] == 0;
            } else if (!second) {
                key = words[i];
                second = true;
                if (key == AT_NULL)
                    return 0;
            } else {
                second = false;
                if (key == kind) {
                    *ret = at;
                    *ret_value = words[i];
                    return 0;
                }
            }
        }
    }
}

int zt_fresh_call(zt_stopped thread, uint64_t insn, long nr, const uint64_t *args, int64_t *ret, zt_err *err)
{
    zt_regs regs;
    zt_stop stop;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    zt_arch_enter_call(&regs, insn, nr, args);
    if (zt_stopped_set_regs(thread, &regs, err))
        return -1;
    for (int way = 0; way < 2;) {
        if (zt_stopped_resume(thread, ZT_TO_CALL, 0, err) || zt_stop_wait(thread.rtid, &stop, err))
            return -1;
        if (stop.kind == ZT_STOP_EXITED)
            return zt_stop_fail_ended(stop, err);
        if (zt_stop_is_fault(stop))
            return zt_fail(err, ZT_ERR_STATE, 0, "signal %d instead of a system call", stop.value);
        way += stop.kind == ZT_STOP_CALL;
    }
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    *ret = zt_arch_result(&regs);
    return 0;
}
