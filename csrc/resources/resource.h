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
 * Calls that are answered, or only looked at (`looks` in the row), come without a stop where the host can do so:
 * on the looker's thread, in its turn (pod/looker.h). Their hooks do nothing by ptrace. Who answers may write into
 * the memory of the thread, which waits.
 *
 * Ids that the table translates are translated already. A hook that finds a bad pointer lets the
 * kernel say so. Memory that a hook changes on the way in is the thread's scratch slot, never the
 * program's own: other threads may look at that.
 *
 * What the upper half of the room has to know and /proc does not tell goes into the store of the
 * pod (pod/store.h), under the room's name:
 *
 *   zt_hook_store(pod, call, "inotify", key, sizeof key, path, length)   in an exit half
 *   zt_store_get, zt_store_remove, zt_store_next   of &pod->store          anywhere
 *
 * There it is `pod.store("inotify")` for capture and `build.store("inotify")` for restore, whole. The
 * engine carries it through images, and the lower half of a restored pod finds it where it was. */
#pragma once
#include <errno.h>
#include <limits.h>

#include "../pod/pod.h"
#include "../ptrace/mem.h"
#include "zt_hooks.h"

/* A hook that no row names would never run. */
#pragma GCC diagnostic error "-Wmissing-prototypes"

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

/* Store what came of a call; if there is no memory for that, the program gets ENOMEM for its answer. */
static inline void zt_hook_store(zt_pod *pod, zt_call *call, const char *room, const void *key, uint32_t key_size,
                                 const void *value, uint32_t value_size)
{
    int failed = zt_store_put(&pod->store, room, key, key_size, value, value_size);
    if (failed)
        call->answer = failed;
}

static inline zt_verdict zt_hook_answer(zt_call *call, int64_t answer)
{
    call->answer = answer;
    return ZT_ANSWERED;
}
