/* Options that setsockopt takes and getsockopt does not show: (the socket's inode, level, option) -> what
 * was given. A filter that shares out connections is noted by its instructions; a key of TCP's, and a
 * program that has only a number, by that there is one, which the checkpoint then refuses. */
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
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
