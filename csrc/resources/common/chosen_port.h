/* Which ports the kernel has chosen itself (bind(2) to port 0): nobody outside the pod knows one of
 * these, unless he was told. Noted by a socket's inode, as the room of internet sockets has its notes. */
#pragma once
#include <netinet/in.h>
#include <sys/socket.h>

#include "../../pod/socket_notes.h"
#include "../resource.h"

static inline void zt_chosen_port_note(zt_pod *pod, const zt_task *task, zt_call *call)
{
    static const char ROOM[] = "inet_socket";
    struct {
        uint64_t inode;
        uint32_t level, option;
    } about = {.level = UINT32_MAX, .option = 1};
    struct {
        sa_family_t family;
        in_port_t port;
    } head; /* of an address of IPv4 or IPv6 */
    if (call->answer || (uint32_t)call->asked[2] < sizeof(struct sockaddr_in) ||
        !zt_hook_read(task, call->asked[1], &head, sizeof head) ||
        (head.family != AF_INET && head.family != AF_INET6) ||
        !zt_socket_inode(task, (int)call->asked[0], &about.inode))
        return;
    if (head.port) {
        zt_store_remove(&pod->store, ROOM, &about, sizeof about); /* of one that had this number before */
        return;
    }
    zt_hook_store(pod, call, ROOM, &about, sizeof about, "", 0);
    zt_socket_notes_tidy(pod);
}
