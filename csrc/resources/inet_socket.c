/* Addresses that are not this host's, and options that getsockopt does not show.
 *
 * A connection within the pod may be made again with other addresses than it had, and one that listens
 * may do so at another port. The upper half notes them under the socket's inode: those that the kernel
 * has, and those that the pod knows (virtual.py). Who listens has no other side, so that has no port:
 * it is found by its address, of this host, by who connects to it, and for who came of that.
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
#include <unistd.h>

#include "../pod/socket_notes.h"
#include "common/kept.h"
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

static const known_as *noted(const zt_stored *note)
{
    key about;
    if (strcmp(note->room, ROOM) || note->key_size != sizeof about || note->value_size != 2 * sizeof(known_as))
        return NULL;
    memcpy(&about, note->key, sizeof about);
    return about.level == (uint32_t)NO_LEVEL && !about.option ? (const known_as *)note->value : NULL;
}

/* Family and port are in the same place in addresses of both families. */
static sa_family_t family_of(const uint8_t *address)
{
    sa_family_t family;
    memcpy(&family, address, sizeof family);
    return family;
}

static in_port_t port_of(const uint8_t *address)
{
    in_port_t port;
    memcpy(&port, address + offsetof(struct sockaddr_in, sin_port), sizeof port);
    return port;
}

static void set_port(uint8_t *address, in_port_t port)
{
    memcpy(address + offsetof(struct sockaddr_in, sin_port), &port, sizeof port);
}

/* As IPv6 writes it. */
static struct in6_addr host_of(const uint8_t *address)
{
    struct in6_addr host = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    if (family_of(address) == AF_INET)
        memcpy(&host.s6_addr[12], address + offsetof(struct sockaddr_in, sin_addr), sizeof(struct in_addr));
    else
        memcpy(&host, address + offsetof(struct sockaddr_in6, sin6_addr), sizeof host);
    return host;
}

static socklen_t size_of(sa_family_t family)
{
    return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

/* Nobody else's: a socket can be bound to it. */
static bool is_of_this_host(const uint8_t *address)
{
    union {
        struct sockaddr any;
        uint8_t bytes[ADDRESS_SIZE];
    } there;
    memcpy(there.bytes, address, sizeof there.bytes);
    set_port(there.bytes, 0);
    const int fd = socket(there.any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const bool can = fd >= 0 && !bind(fd, &there.any, size_of(there.any.sa_family));
    if (fd >= 0)
        close(fd);
    return can;
}

static bool listens_there(const uint8_t *at, const uint8_t *address)
{
    const struct in6_addr own = host_of(at), host = host_of(address);
    const bool any_four = IN6_IS_ADDR_V4MAPPED(&own) && !own.s6_addr32[3], any = IN6_IS_ADDR_UNSPECIFIED(&own);
    if (any || (any_four && IN6_IS_ADDR_V4MAPPED(&host)))
        return is_of_this_host(address);
    return IN6_ARE_ADDR_EQUAL(&own, &host);
}

/* Change the port of an address of somebody who listens at another: to the one that the pod knows, or to
 * the one that the kernel has. */
static bool change_port(zt_pod *pod, uint8_t *address, bool to_real)
{
    for (const zt_stored *note = zt_store_next(&pod->store, NULL); note; note = zt_store_next(&pod->store, note)) {
        const known_as *known = noted(note);
        if (!known || port_of(known[1].real))
            continue;
        const in_port_t real = port_of(known->real), shown = port_of(known->shown);
        if ((to_real ? shown : real) == port_of(address) && listens_there(known->real, address)) {
            set_port(address, to_real ? real : shown);
            return true;
        }
    }
    return false;
}

static bool is_internet(const uint8_t *address, uint32_t size)
{
    const sa_family_t family = family_of(address);
    return (family == AF_INET || family == AF_INET6) && size >= size_of(family);
}

/* connect(fd, address, size) */
zt_verdict zt_connect_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    uint8_t address[ADDRESS_SIZE] = {0};
    const uint32_t given = (uint32_t)call->asked[2], size = given < sizeof address ? given : sizeof address;
    if (!zt_hook_read(task, call->asked[1], address, size) || !is_internet(address, size) ||
        !change_port(pod, address, true))
        return ZT_GO;
    call->issued[1] = zt_task_scratch(task);
    return zt_hook_write(task, call->issued[1], address, size) ? ZT_GO : zt_hook_answer(call, -EFAULT);
}

/* The other side of a connection that was accepted: one of the pod's that has another address, maybe. */
static bool change_client(zt_pod *pod, uint8_t *address)
{
    const struct in6_addr host = host_of(address);
    for (const zt_stored *note = zt_store_next(&pod->store, NULL); note; note = zt_store_next(&pod->store, note)) {
        const known_as *known = noted(note);
        if (!known || !port_of(known[1].real) || port_of(known->real) != port_of(address))
            continue;
        const struct in6_addr own = host_of(known->real);
        if (!IN6_ARE_ADDR_EQUAL(&own, &host))
            continue;
        if (family_of(known->shown) == family_of(address))
            memcpy(address, known->shown, ADDRESS_SIZE);
        else
            set_port(address, port_of(known->shown));
        return true;
    }
    return false;
}

static void show_others(zt_pod *pod, const zt_task *task, const zt_call *call)
{
    uint8_t found[ADDRESS_SIZE] = {0};
    const uint32_t room = (uint32_t)call->issued[SPARE], size = room < sizeof found ? room : sizeof found;
    if (zt_hook_read(task, call->asked[1], found, size) && is_internet(found, size) &&
        (change_client(pod, found) || change_port(pod, found, false)))
        zt_hook_write(task, call->asked[1], found, size);
}

/* accept(fd, address, size), accept4(fd, address, size, flags) */
zt_verdict zt_accept_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return zt_kept_waits(pod, task, call) ? zt_kept_asked_for(pod, task, call) : keep_size(task, call);
}

void zt_accept_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    if (call->answer >= 0)
        show_others(pod, task, call);
}

zt_verdict zt_accept4_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return zt_kept_waits(pod, task, call) ? zt_kept_asked_for(pod, task, call) : keep_size(task, call);
}

void zt_accept4_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    if (call->answer >= 0)
        show_others(pod, task, call);
}

static void show(zt_pod *pod, const zt_task *task, const zt_call *call, int which)
{
    key about = {.level = (uint32_t)NO_LEVEL};
    uint8_t found[ADDRESS_SIZE];
    if (call->answer || !zt_socket_inode(task, (int)call->asked[0], &about.inode))
        return;
    const zt_stored *note = zt_store_get(&pod->store, ROOM, &about, sizeof about);
    if (!note || note->value_size != 2 * sizeof(known_as)) {
        show_others(pod, task, call);
        return;
    }
    const known_as *known = (const known_as *)note->value + which;
    const uint32_t whole = size_of(family_of(known->real));
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
