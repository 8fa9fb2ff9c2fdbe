/* Who is at the other end, and where a socket was bound.
 *
 * A path is kept by the socket as it was given; which directory it was relative to is known at that
 * moment only. So it is noted: the socket's inode -> the directory that its path begins in, for a
 * path that does not begin at the root of the host.
 *
 * Senders of messages are told by ids where SO_PASSCRED asks for that: noted under "senders". In a pod
 * that moved those are translated (common/senders.h). What a program writes there itself is, too, whether
 * anybody asks or not: the kernel refuses another id, and GDBus names itself to every bus. */
#include <sys/socket.h>
#include <sys/un.h>

#include "../base/proc.h"
#include "../pod/socket_notes.h"
#include "common/chosen_port.h"
#include "common/senders.h"
#include "resource.h"

static const char ROOM[] = "unix_socket";

void zt_bind_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct sockaddr_un address = {0};
    char at[PATH_MAX];
    uint64_t inode;
    const uint64_t least = offsetof(struct sockaddr_un, sun_path) + 1;
    zt_chosen_port_note(pod, task, call);
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

enum { LARGEST_CONTROL = 1 << 16 };

static bool asks_for_senders(const zt_task *task, const zt_call *call)
{
    int32_t value;
    return call->asked[1] == SOL_SOCKET && zt_hook_read(task, call->asked[3], &value, sizeof value) && value;
}

zt_verdict zt_setsockopt_unix_socket_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return asks_for_senders(task, call) ? zt_senders_asked_for(pod, task) : ZT_GO;
}

void zt_setsockopt_unix_socket_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    static const char SENDERS[] = "senders";
    if (!call->answer && asks_for_senders(task, call))
        zt_hook_store(pod, call, ROOM, SENDERS, strlen(SENDERS), "", 0);
}

static void show_sender(zt_pod *pod, const zt_task *task, uint64_t address)
{
    int32_t sender; /* a struct ucred begins with it */
    if (!zt_hook_read(task, address, &sender, sizeof sender) || sender <= 0)
        return;
    sender = zt_pod_peer(pod, sender).n;
    zt_hook_write(task, address, &sender, sizeof sender);
}

/* Of one message that was received: all that its control data tells. */
static void show_senders(zt_pod *pod, const zt_task *task, uint64_t header)
{
    struct msghdr message;
    struct cmsghdr head;
    if (!zt_hook_read(task, header, &message, sizeof message) || message.msg_controllen > LARGEST_CONTROL)
        return;
    uint64_t at = (uint64_t)message.msg_control, left = message.msg_controllen;
    while (left >= sizeof head && zt_hook_read(task, at, &head, sizeof head)) {
        if (head.cmsg_len < sizeof head || head.cmsg_len > left)
            return;
        if (head.cmsg_level == SOL_SOCKET && head.cmsg_type == SCM_CREDENTIALS)
            show_sender(pod, task, at + CMSG_LEN(0));
        const uint64_t step = CMSG_ALIGN(head.cmsg_len);
        if (step > left)
            return;
        at += step;
        left -= step;
    }
}

void zt_recvmsg_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    if (call->answer >= 0)
        show_senders(pod, task, call->asked[1]);
}

void zt_recvmmsg_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    for (int64_t i = 0; i < call->answer; i++)
        show_senders(pod, task, call->asked[1] + (uint64_t)i * sizeof(struct mmsghdr));
}

/* Have those who are named in control data named by the kernel's own numbers: 0, or -EPERM for one whom the pod
 * does not know. What is malformed stays as it is, and the kernel refuses it. */
static int64_t name_really(zt_pod *pod, char *control, uint64_t size, bool *ret_changed)
{
    *ret_changed = false;
    for (uint64_t at = 0; size - at >= sizeof(struct cmsghdr);) {
        struct cmsghdr *head = (struct cmsghdr *)(control + at);
        int32_t *named = (int32_t *)CMSG_DATA(head);
        if (head->cmsg_len < sizeof *head || head->cmsg_len > size - at)
            break;
        if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_CREDENTIALS &&
            head->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
            *named = zt_pod_real(pod, *named).n;
            if (!*named)
                return -EPERM;
            *ret_changed = true;
        }
        const uint64_t step = CMSG_ALIGN(head->cmsg_len);
        at = step > size - at ? size : at + step;
    }
    return 0;
}

/* The same of a message's control data, read to `ret`. What is too large for that stays as it is, too. */
static int64_t read_control(zt_pod *pod, const zt_task *task, const struct msghdr *message, char *ret, uint64_t room,
                            bool *ret_changed)
{
    const uint64_t size = message->msg_controllen;
    *ret_changed = false;
    if (!size || size > room || !zt_hook_read(task, (uint64_t)message->msg_control, ret, size))
        return 0;
    return name_really(pod, ret, size, ret_changed);
}

/* sendmsg(fd, message, flags). A sender may name itself: the kernel wants to see its own number. */
zt_verdict zt_sendmsg_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct {
        struct msghdr message;
        char control[ZT_STUB_SCRATCH_SLOT - sizeof(struct msghdr)];
    } issued = {0};
    bool changed;
    if (!zt_hook_read(task, call->asked[1], &issued.message, sizeof issued.message))
        return ZT_GO;
    const int64_t error = read_control(pod, task, &issued.message, issued.control, sizeof issued.control, &changed);
    if (error)
        return zt_hook_answer(call, error);
    if (!changed)
        return ZT_GO;
    call->issued[1] = zt_task_scratch(task);
    issued.message.msg_control = (void *)(call->issued[1] + offsetof(typeof(issued), control));
    return zt_hook_write(task, call->issued[1], &issued, sizeof issued) ? ZT_GO : zt_hook_answer(call, -EFAULT);
}

enum { AT_ONCE = 2, CONTROL = ZT_STUB_SCRATCH_SLOT - AT_ONCE * sizeof(struct mmsghdr) };

/* Of sendmmsg: messages from the first on, of which one names its sender. */
typedef struct {
    struct mmsghdr message[AT_ONCE];
    char control[CONTROL];
} zt_named;
_Static_assert(sizeof(zt_named) <= ZT_STUB_SCRATCH_SLOT, "they fit into a scratch slot");

/* sendmmsg(fd, messages, count, flags), which may send fewer than it was asked to: those before the first one that
 * names its sender; or that one, and the next if there is room for it. */
zt_verdict zt_sendmmsg_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    enum { MOST = 1024 /* UIO_MAXIOV */ };
    const uint32_t count = (uint32_t)call->asked[2] < MOST ? (uint32_t)call->asked[2] : MOST;
    const uint64_t slot = zt_task_scratch(task);
    zt_named named = {0};
    uint32_t at = 0, kept = 0, used = 0;
    for (; at < count && kept < AT_ONCE; at++) {
        struct mmsghdr *message = &named.message[kept];
        bool changed;
        if (!zt_hook_read(task, call->asked[1] + at * sizeof *message, message, sizeof *message))
            break;
        const int64_t error =
            read_control(pod, task, &message->msg_hdr, named.control + used, CONTROL - used, &changed);
        if (error && !at)
            return zt_hook_answer(call, error);
        if (error || (changed && at && !kept))
            break; /* the others first: it is the first one of the next call */
        if (changed) {
            message->msg_hdr.msg_control = (void *)(slot + offsetof(zt_named, control) + used);
            used += (uint32_t)CMSG_ALIGN(message->msg_hdr.msg_controllen);
        }
        kept += changed || kept;
    }
    if (kept || at)
        call->issued[2] = kept ? kept : at;
    if (!kept)
        return ZT_GO;
    call->issued[1] = slot;
    return zt_hook_write(task, slot, &named, sizeof named) ? ZT_GO : zt_hook_answer(call, -EFAULT);
}

void zt_sendmmsg_exit(zt_pod *, zt_task *task, zt_call *call)
{
    const uint64_t of = offsetof(struct mmsghdr, msg_len), size = sizeof(struct mmsghdr);
    uint32_t length;
    for (uint64_t at = 0; call->issued[1] != call->asked[1] && (int64_t)at < call->answer; at++)
        if (zt_hook_read(task, call->issued[1] + at * size + of, &length, sizeof length))
            zt_hook_write(task, call->asked[1] + at * size + of, &length, sizeof length);
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
