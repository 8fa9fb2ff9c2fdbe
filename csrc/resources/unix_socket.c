/* Who is at the other end, and where a socket was bound.
 *
 * A path is kept by the socket as it was given; which directory it was relative to is known at that
 * moment only. So it is noted: the socket's inode -> the directory that its path begins in, for a
 * path that does not begin at the root of the host. */
#include <sys/socket.h>
#include <sys/un.h>

#include "../base/proc.h"
#include "../pod/socket_notes.h"
#include "resource.h"

static const char ROOM[] = "unix_socket";

void zt_bind_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct sockaddr_un address = {0};
    char at[PATH_MAX];
    uint64_t inode;
    const uint64_t least = offsetof(struct sockaddr_un, sun_path) + 1;
    if (call->answer || (uint32_t)call->asked[2] < least || !zt_hook_read(task, call->asked[1], &address, least) ||
        address.sun_family != AF_UNIX || !address.sun_path[0])
        return;
    if (!zt_socket_inode(task, (int)call->asked[0], &inode))
        return; /* another thread has closed it meanwhile */
    const bool absolute = address.sun_path[0] == '/';
    if (zt_proc_link(task->rtid.n, absolute ? "root" : "cwd", at, sizeof at))
        return;
    if (absolute && !strcmp(at, "/")) {
        zt_store_remove(&pod->store, ROOM, &inode, sizeof inode); /* of one that had this number before */
        return;
    }
    zt_hook_store(pod, call, ROOM, &inode, sizeof inode, at, (uint32_t)strlen(at));
    zt_socket_notes_tidy(pod);
}

void zt_getsockopt_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    uint32_t size; /* of what was asked for: a part of a struct ucred, which begins with the id */
    int32_t peer;
    if (call->answer || !zt_hook_read(task, call->asked[4], &size, sizeof size) || size < sizeof peer ||
        !zt_hook_read(task, call->asked[3], &peer, sizeof peer) || peer <= 0)
        return;
    peer = zt_pod_peer(pod, peer).n;
    zt_hook_write(task, call->asked[3], &peer, sizeof peer);
}
