/* Who is at the other end, and where a socket was bound.
 *
 * A path is kept by the socket as it was given; which directory it was relative to is known at that
 * moment only. So it is noted: the socket's inode -> the directory that its path begins in, for a
 * path that does not begin at the root of the host. Nobody tells us of the end of a socket: notes of
 * sockets that are no more are forgotten now and then. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "../base/proc.h"
#include "resource.h"

static const char ROOM[] = "unix_socket";

typedef struct inodes {
    uint64_t *of;
    size_t count, capacity;
} inodes;

static int by_number(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static bool add(inodes *list, uint64_t inode)
{
    if (list->count == list->capacity) {
        const size_t more = list->capacity ? list->capacity * 2 : 256;
        uint64_t *of = realloc(list->of, more * sizeof *of);
        if (!of)
            return false;
        list->of = of;
        list->capacity = more;
    }
    list->of[list->count++] = inode;
    return true;
}

/* Every unix socket of the host, in order. */
static bool living(inodes *ret)
{
    FILE *file = zt_proc_open(ZT_PROC_SELF, "net/unix");
    if (!file)
        return false;
    char *line = NULL;
    size_t size = 0;
    unsigned long inode;
    bool whole = getline(&line, &size, file) > 0; /* the heading */
    while (whole && getline(&line, &size, file) > 0)
        if (sscanf(line, "%*x: %*x %*x %*x %*x %*x %lu", &inode) == 1)
            whole = add(ret, inode);
    whole = whole && !ferror(file);
    free(line);
    fclose(file);
    if (whole && ret->count)
        qsort(ret->of, ret->count, sizeof *ret->of, by_number);
    return whole;
}

static void forget_closed(zt_pod *pod)
{
    enum { SPARE = 256 };
    inodes alive = {0};
    if (++pod->binds_noted < pod->sweep_binds_at + SPARE)
        return;
    if (living(&alive)) {
        pod->binds_noted = 0;
        for (const zt_stored *note = zt_store_next(&pod->store, NULL), *next; note; note = next) {
            next = zt_store_next(&pod->store, note);
            uint64_t inode;
            if (strcmp(note->room, ROOM))
                continue;
            memcpy(&inode, note->key, sizeof inode);
            if (alive.count && bsearch(&inode, alive.of, alive.count, sizeof inode, by_number))
                pod->binds_noted++;
            else
                zt_store_remove(&pod->store, ROOM, &inode, sizeof inode);
        }
    }
    free(alive.of);
    pod->sweep_binds_at = pod->binds_noted * 2;
}

void zt_bind_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct sockaddr_un address = {0};
    char link[64], at[PATH_MAX];
    unsigned long number;
    const uint64_t least = offsetof(struct sockaddr_un, sun_path) + 1;
    if (call->answer || (uint32_t)call->asked[2] < least || !zt_hook_read(task, call->asked[1], &address, least) ||
        address.sun_family != AF_UNIX || !address.sun_path[0])
        return;
    if (zt_proc_fd_link(task->rtid.n, (int)call->asked[0], link, sizeof link) ||
        sscanf(link, "socket:[%lu]", &number) != 1)
        return; /* another thread has closed it meanwhile */
    const uint64_t inode = number;
    if (zt_proc_link(task->rtid.n, address.sun_path[0] == '/' ? "root" : "cwd", at, sizeof at))
        return;
    if (!strcmp(at, "/")) {
        zt_store_remove(&pod->store, ROOM, &inode, sizeof inode); /* of one that had this number before */
        return;
    }
    zt_hook_store(pod, call, ROOM, &inode, sizeof inode, at, (uint32_t)strlen(at));
    forget_closed(pod);
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
