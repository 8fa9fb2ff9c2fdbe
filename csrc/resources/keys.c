/* Keys of the kernel's, keyrings(7). Their numbers are this host's, and what is in them the kernel does not
 * tell everybody: which ones the pod has made or found is noted, so that a checkpoint knows of them. */
#include <linux/keyctl.h>

#include "resource.h"

static void note(zt_pod *pod, zt_call *call, int64_t serial)
{
    const int32_t key = (int32_t)serial;
    if (key > 0) /* the others are names of keyrings, KEY_SPEC_* */
        zt_hook_store(pod, call, "keys", &key, sizeof key, NULL, 0);
}

void zt_add_key_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    note(pod, call, call->answer);
}

void zt_request_key_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    note(pod, call, call->answer);
}

void zt_keyctl_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    switch ((int)call->asked[0]) {
    case KEYCTL_LINK:
    case KEYCTL_MOVE:
        if (!call->answer)
            note(pod, call, (int32_t)call->asked[1]);
        return;
    case KEYCTL_GET_KEYRING_ID: /* with 0 it is only asked for */
        if (!(int32_t)call->asked[2])
            return;
    }
    note(pod, call, call->answer);
}
