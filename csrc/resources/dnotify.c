/* What directories are watched for by fcntl(2) with F_NOTIFY: the kernel tells nobody.
 *
 * process and descriptor -> the mask, uint32_t. A closed descriptor is watched no more: the upper half looks. */
#include <fcntl.h>

#include "resource.h"

static const char ROOM[] = "dnotify";

typedef struct watch {
    int32_t process, fd;
} watch;

void zt_fcntl_dnotify_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    const watch key = {task->process->vpid.n, (int32_t)call->asked[0]};
    uint32_t mask = (uint32_t)call->asked[2];
    if (call->answer)
        return;
    if (!(mask & ~DN_MULTISHOT)) {
        zt_store_remove(&pod->store, ROOM, &key, sizeof key);
        return;
    }
    const zt_stored *before = zt_store_get(&pod->store, ROOM, &key, sizeof key);
    if (before && before->value_size == sizeof mask) /* it is watched for that still */
        mask |= *(const uint32_t *)(const void *)before->value;
    zt_hook_store(pod, call, ROOM, &key, sizeof key, &mask, sizeof mask);
}
