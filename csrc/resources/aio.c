/* What no one tells of an AIO context, io_setup(2): how many requests it is for, and how many it was
 * given. Those that are not done yet are the difference to what its ring has seen end. */
#include "resource.h"

static const char ROOM[] = "aio";

typedef struct context {
    int32_t process, pad;
    uint64_t address;
} context;

typedef struct requests {
    uint64_t most, given;
} requests;

static context named(const zt_task *task, uint64_t address)
{
    return (context){task->process->vpid.n, 0, address};
}

void zt_io_setup_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    uint64_t address;
    if (call->answer || !zt_hook_read(task, call->asked[1], &address, sizeof address))
        return;
    const context key = named(task, address);
    const requests none = {(uint32_t)call->asked[0], 0};
    zt_hook_store(pod, call, ROOM, &key, sizeof key, &none, sizeof none);
}

void zt_io_submit_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    const context key = named(task, call->asked[0]);
    const zt_stored *stored = call->answer > 0 ? zt_store_get(&pod->store, ROOM, &key, sizeof key) : NULL;
    if (stored && stored->value_size == sizeof(requests)) {
        requests more = *(const requests *)(const void *)stored->value;
        more.given += (uint64_t)call->answer;
        /* No memory for it: they look as if they were never done, and the checkpoint says so. */
        zt_store_put(&pod->store, ROOM, &key, sizeof key, &more, sizeof more);
    }
}

void zt_io_destroy_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    const context key = named(task, call->asked[0]);
    if (!call->answer)
        zt_store_remove(&pod->store, ROOM, &key, sizeof key);
}
