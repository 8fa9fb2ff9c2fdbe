#include "closed.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "../base/proc.h"
#include "fresh.h"
#include "mem.h"

enum { FIRST_CALL_MS = 5000 };

bool zt_closed_is(zt_stopped thread)
{
    zt_regs regs;
    zt_err why;
    uint64_t word;
    return !zt_stopped_get_regs(thread, &regs, &why) && zt_mem_get(thread.rtid, regs.rsp, &word, sizeof word, &why) &&
           why.os_errno == EPERM;
}

/* Let it run to its first call of its own; it stays on the way in. */
static int run_to_first_call(zt_stopped thread, zt_regs *ret, zt_err *err)
{
    zt_stop stop;
    do {
        if (zt_stopped_resume(thread, ZT_TO_CALL, 0, err) || zt_stop_wait_for(thread.rtid, FIRST_CALL_MS, &stop, err))
            return -1;
        if (stop.kind == ZT_STOP_EXITED)
            return zt_stop_fail_ended(stop, err);
        if (zt_stop_is_fault(stop))
            return zt_fail(err, ZT_ERR_STATE, 0, "it got signal %d before its first system call", stop.value);
    } while (stop.kind != ZT_STOP_CALL);
    return zt_stopped_get_regs(thread, ret, err);
}

/* On the way into a call: make another one of it, and let that one be made. */
static int call_instead(zt_stopped thread, const zt_regs *regs, long nr, const uint64_t *args, int64_t *ret,
                        zt_err *err)
{
    zt_regs other = *regs;
    zt_stop stop;
    zt_arch_set_call_nr(&other, nr);
    zt_arch_set_args(&other, args);
    if (zt_stopped_set_regs(thread, &other, err))
        return -1;
    do {
        if (zt_stopped_resume(thread, ZT_TO_CALL, 0, err) || zt_stop_wait(thread.rtid, &stop, err))
            return -1;
        if (stop.kind == ZT_STOP_EXITED)
            return zt_stop_fail_ended(stop, err);
    } while (stop.kind != ZT_STOP_CALL);
    if (zt_stopped_get_regs(thread, &other, err))
        return -1;
    *ret = zt_arch_result(&other);
    return 0;
}

static const uint64_t SET_DUMPABLE[6] = {PR_SET_DUMPABLE, 1};
static const uint64_t GET_DUMPABLE[6] = {PR_GET_DUMPABLE};

/* Do both addresses lie in one mapped file? Then their distance is the same wherever it is mapped. */
static bool in_one_file(int32_t rpid, uint64_t address, uint64_t other)
{
    char line[512], file[2][512] = {"", ""};
    FILE *maps = zt_proc_open(rpid, "maps");
    while (maps && fgets(line, sizeof line, maps)) {
        uint64_t start, end;
        int at = 0;
        /* start-end permissions offset device inode path */
        if (sscanf(line, "%lx-%lx %*s %*s %n", &start, &end, &at) != 2 || !at)
            continue;
        if (address >= start && address < end)
            strcpy(file[0], line + at);
        if (other >= start && other < end)
            strcpy(file[1], line + at);
    }
    if (maps)
        fclose(maps);
    return *file[0] && strcmp(file[0], file[1]) == 0;
}

/* Execute the same program again, by what its stack says of the first time. */
static int execute_again(zt_stopped thread, uint64_t sp, uint64_t insn, zt_stop *ret_rest, zt_err *err)
{
    uint64_t argc, entry, name;
    int64_t result;
    if (zt_mem_get(thread.rtid, sp, &argc, sizeof argc, err) ||
        zt_fresh_auxv(thread, sp, AT_EXECFN, &entry, &name, err))
        return -1;
    if (!entry)
        return zt_fail(err, ZT_ERR_OS, 0, "it does not know its own name");
    const uint64_t argv = sp + 8, args[6] = {name, argv, argv + (argc + 1) * 8};
    if (zt_fresh_call(thread, insn, SYS_execve, args, &result, err))
        return -1;
    if (result)
        return zt_fail(err, ZT_ERR_OS, (int)-result, "it cannot be executed twice: %s", strerror((int)-result));
    return zt_stopped_rest(thread, ret_rest, err);
}

/* Run it once, to learn how far from its first instruction it makes its first call. */
static int learn(zt_stopped thread, uint64_t *ret_distance, zt_stop *ret_rest, zt_err *err)
{
    zt_regs first, call;
    int64_t result;
    if (zt_stopped_get_regs(thread, &first, err) || run_to_first_call(thread, &call, err) ||
        call_instead(thread, &call, SYS_prctl, SET_DUMPABLE, &result, err))
        return -1;
    const uint64_t insn = call.rip - ZT_ARCH_SYSCALL_BYTES;
    *ret_distance = insn - first.rip;
    if (!in_one_file(thread.rtid, first.rip, insn))
        return zt_fail(err, ZT_ERR_OS, 0, "its first system call lies in another file than its first instruction");
    return execute_again(thread, first.rsp, insn, ret_rest, err);
}

static int open_by(zt_stopped thread, uint64_t distance, int32_t *ret_dumpable, zt_stop *ret_rest, zt_err *err)
{
    zt_regs regs;
    int64_t before, result;
    if (zt_stopped_get_regs(thread, &regs, err))
        return -1;
    const uint64_t insn = regs.rip + distance;
    if (zt_fresh_call(thread, insn, SYS_prctl, GET_DUMPABLE, &before, err) ||
        zt_fresh_call(thread, insn, SYS_prctl, SET_DUMPABLE, &result, err) || zt_stopped_set_regs(thread, &regs, err) ||
        zt_stopped_rest(thread, ret_rest, err))
        return -1;
    *ret_dumpable = (int32_t)before;
    if (ret_rest->kind != ZT_STOP_EXITED && zt_closed_is(thread))
        return zt_fail(err, ZT_ERR_OS, EPERM, "the kernel keeps it closed (prctl: %ld)", (long)result);
    return 0;
}

int zt_closed_open(zt_stopped thread, int32_t *ret_dumpable, zt_stop *ret_rest, zt_err *err)
{
    uint64_t mask, distance;
    if (zt_stopped_get_mask(thread, &mask, err) || zt_stopped_set_mask(thread, ~0ull, err))
        return -1;
    bool failed = learn(thread, &distance, ret_rest, err) ||
                  (ret_rest->kind != ZT_STOP_EXITED && open_by(thread, distance, ret_dumpable, ret_rest, err));
    if (failed && err->kind != ZT_ERR_GONE) {
        const zt_err why = *err;
        return zt_fail(err, why.kind, why.os_errno, "its file may not be read, so its memory is closed, and %.150s",
                       why.text);
    }
    if (failed)
        return -1;
    return ret_rest->kind == ZT_STOP_EXITED ? 0 : zt_stopped_set_mask(thread, mask, err);
}
