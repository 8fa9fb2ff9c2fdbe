/* The contract of a room's lower half.
 *
 * A room defines the hooks that csrc/syscalls.py names for its calls:
 *
 *   zt_<call>_enter(pod, task, call)  may change call->issued and say ZT_GO, or zt_hook_answer()
 *   zt_<call>_exit(pod, task, call)   may change call->answer; not called for an interrupted call
 *
 * The row alone decides which halves there are: one that declares an exit half gets it for every
 * call that its enter half let go. Arguments that were changed are put back without being asked.
 *
 * Ids that the table translates are translated already. A hook that finds a bad pointer lets the
 * kernel say so. Memory that a hook changes on the way in is the thread's scratch slot, never the
 * program's own: other threads may look at that. */
#pragma once
#include <errno.h>
#include <limits.h>

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

/* The path at `address`, as the kernel would take it: its length, -EFAULT or -ENAMETOOLONG. */
static inline int64_t zt_hook_path(const zt_task *task, uint64_t address, char ret[PATH_MAX])
{
    return zt_mem_read_string(task->rtid.n, address, ret, PATH_MAX);
}

static inline zt_verdict zt_hook_answer(zt_call *call, int64_t answer)
{
    call->answer = answer;
    return ZT_ANSWERED;
}
