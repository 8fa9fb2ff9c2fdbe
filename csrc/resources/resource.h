/* The contract of a room's lower half.
 *
 * A room defines the hooks that csrc/syscalls.py names for its calls:
 *
 *   zt_<call>_enter(pod, task, call)  may change call->issued, or set call->answer and say ZT_ANSWERED
 *   zt_<call>_exit(pod, task, call)   may change call->answer; not called for an interrupted call
 *
 * Ids that the table translates are translated already. A hook that finds a bad pointer lets the
 * kernel say so. Memory that a hook changes on the way in is the thread's scratch slot, never the
 * program's own: other threads may look at that. */
#pragma once
#include <errno.h>

#include "../pod/pod.h"
#include "../ptrace/mem.h"
#include "zt_hooks.h"

static inline bool zt_hook_read(const zt_task *task, uint64_t address, void *ret, uint64_t size)
{
    return zt_mem_read(task->rtid.n, address, ret, size) == (int64_t)size;
}

static inline bool zt_hook_write(const zt_task *task, uint64_t address, const void *from, uint64_t size)
{
    return zt_mem_write(task->rtid.n, address, from, size) == (int64_t)size;
}

static inline zt_verdict zt_hook_answer(zt_call *call, int64_t answer)
{
    call->answer = answer;
    return ZT_ANSWERED;
}
