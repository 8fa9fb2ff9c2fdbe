/* Addresses that are not this host's, and options that getsockopt does not show.
 *
 * A connection within the pod may be made again with other addresses than it had. The upper half notes
 * them under the socket's inode: those that the kernel has, and those that the pod knows (virtual.py).
 *
 * Options that setsockopt takes and getsockopt does not show: (the socket's inode, level, option) -> what
 * was given. A filter that shares out connections is noted by its instructions; a key of TCP's, and a
 * program that has only a number, by that there is one, which the checkpoint then refuses. */
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "../pod/socket_notes.h"
#include "resource.h"

/* As the values of the row "setsockopt" in syscalls.py. */
enum {
    SO_ATTACH_REUSEPORT_CBPF_ = 51,
    SO_ATTACH_REUSEPORT_EBPF_ = 52,
    SO_DETACH_REUSEPORT_BPF_ = 68,
    TCP_AO_ADD_KEY_ = 38,
};

typedef struct key {
    uint64_t inode;
    uint32_t level, option;
} key;

static const char ROOM[] = "inet_socket";

enum { NO_LEVEL = -1, ADDRESS_SIZE = sizeof(struct sockaddr_in6) };

/* Of one end of a connection: as the kernel has it, and as the pod knows it. */
typedef struct known_as {
    uint8_t real[ADDRESS_SIZE], shown[ADDRESS_SIZE];
} known_as;

/* The kernel is going to write there how large an address is, and that is more than this, maybe: so it
 * is kept in an argument that these calls do not have. */
enum { SPARE = 5 };

static zt_verdict keep_size(const zt_task *task, zt_call *call)
{
    uint32_t size;
    if (zt_hook_read(task, call->asked[2], &size, sizeof size))
        call->issued[SPARE] = size;
    return ZT_GO;
}

static void show(zt_pod *pod, const zt_task *task, const zt_call *call, int which)
{
    key about = {.level = (uint32_t)NO_LEVEL};
    uint8_t found[ADDRESS_SIZE];
    if (call->answer || !zt_socket_inode(task, (int)call->asked[0], &about.inode))
        return;
    const zt_stored *note = zt_store_get(&pod->store, ROOM, &about, sizeof about);
    if (!note || note->value_size != 2 * sizeof(known_as))
        return;
    const known_as *known = (const known_as *)note->value + which;
    sa_family_t family;
    memcpy(&family, known->real, sizeof family);
    const uint32_t whole = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    const uint32_t room = (uint32_t)call->issued[SPARE], size = room < whole ? room : whole;
    if (zt_hook_read(task, call->asked[1], found, size) && !memcmp(found, known->real, size))
        zt_hook_write(task, call->asked[1], known->shown, size);
}

zt_verdict zt_getsockname_enter(zt_pod *, zt_task *task, zt_call *call)
{
    return keep_size(task, call);
}

void zt_getsockname_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    show(pod, task, call, 0);
}

zt_verdict zt_getpeername_enter(zt_pod *, zt_task *task, zt_call *call)
{
    return keep_size(task, call);
}

void zt_getpeername_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    show(pod, task, call, 1);
}

static void note(zt_pod *pod, zt_call *call, key about, const void *value, uint32_t size)
{
    zt_hook_store(pod, call, ROOM, &about, sizeof about, value, size);
    zt_socket_notes_tidy(pod);
}

static void note_filter(zt_pod *pod, const zt_task *task, zt_call *call, key about)
{
    struct sock_fprog program;
    struct sock_filter code[BPF_MAXINSNS];
    if (!zt_hook_read(task, call->asked[3], &program, sizeof program) || program.len > BPF_MAXINSNS ||
        !zt_hook_read(task, (uint64_t)program.filter, code, program.len * sizeof *code))
        return; /* another thread has changed it meanwhile */
    note(pod, call, about, code, (uint32_t)(program.len * sizeof *code));
}

void zt_setsockopt_inet_socket_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    key about = {.level = (uint32_t)call->asked[1], .option = (uint32_t)call->asked[2]};
    uint8_t value[64];
    const uint32_t size = (uint32_t)call->asked[4];
    if (call->answer || !zt_socket_inode(task, (int)call->asked[0], &about.inode))
        return;
    switch (about.level << 16 | about.option) {
    case IPPROTO_IP << 16 | IP_MULTICAST_IF:
        if (size <= sizeof value && zt_hook_read(task, call->asked[3], value, size))
            note(pod, call, about, value, size);
        return;
    case SOL_SOCKET << 16 | SO_ATTACH_REUSEPORT_CBPF_:
        note_filter(pod, task, call, about);
        return;
    case SOL_SOCKET << 16 | SO_DETACH_REUSEPORT_BPF_:
        about.option = SO_ATTACH_REUSEPORT_CBPF_;
        zt_store_remove(&pod->store, ROOM, &about, sizeof about);
        about.option = SO_ATTACH_REUSEPORT_EBPF_;
        zt_store_remove(&pod->store, ROOM, &about, sizeof about);
        return;
    case SOL_SOCKET << 16 | SO_ATTACH_REUSEPORT_EBPF_:
    case IPPROTO_TCP << 16 | TCP_MD5SIG:
    case IPPROTO_TCP << 16 | TCP_MD5SIG_EXT:
    case IPPROTO_TCP << 16 | TCP_AO_ADD_KEY_:
        note(pod, call, about, "", 0);
        return;
    }
}
