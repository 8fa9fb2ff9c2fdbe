/* Who is at the other end. */
#include <sys/socket.h>

#include "resource.h"

void zt_getsockopt_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct ucred peer;
    if (call->answer || !zt_hook_read(task, call->asked[3], &peer, sizeof peer) || peer.pid <= 0)
        return;
    peer.pid = zt_pod_virtual(pod, peer.pid).n;
    zt_hook_write(task, call->asked[3], &peer, sizeof peer);
}
