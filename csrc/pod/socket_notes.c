#include "socket_notes.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "../base/proc.h"
#include "pod.h"

static const char *const ROOMS[] = {"unix_socket", "inet_socket", "regular_file"};

typedef struct inodes {
    uint64_t *of;
    size_t count, capacity;
} inodes;

static int by_number(const void *a, const void *b)
{
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
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

static bool socket_in(const char *link, uint64_t *ret)
{
    unsigned long number;
    if (sscanf(link, "socket:[%lu]", &number) != 1)
        return false;
    *ret = number;
    return true;
}

/* A file that never had a name is shown as "/its/directory/#INODE (deleted)". */
static bool temporary_in(const char *link, uint64_t *ret)
{
    const char *name = strrchr(link, '/');
    unsigned long number;
    if (!name || sscanf(name, "/#%lu (deleted)", &number) != 1)
        return false;
    *ret = number;
    return true;
}

bool zt_socket_inode(const zt_task *task, int fd, uint64_t *ret)
{
    char link[64];
    return !zt_proc_fd_link(task->rtid.n, fd, link, sizeof link) && socket_in(link, ret);
}

bool zt_temporary_inode(const zt_task *task, int fd, uint64_t *ret)
{
    char link[PATH_MAX];
    return !zt_proc_fd_link(task->rtid.n, fd, link, sizeof link) && temporary_in(link, ret);
}

/* Those that a process has open. */
static bool add_held(inodes *list, int32_t rpid)
{
    DIR *fds = zt_proc_open_fds(rpid);
    char link[PATH_MAX];
    uint64_t inode;
    bool whole = true;
    if (!fds)
        return true; /* it has ended */
    for (struct dirent *entry; whole && (entry = readdir(fds));)
        if (!zt_proc_fd_link(rpid, atoi(entry->d_name), link, sizeof link) &&
            (socket_in(link, &inode) || temporary_in(link, &inode)))
            whole = add(list, inode);
    closedir(fds);
    return whole;
}

/* Every unix socket of the host: one may be under way in another, where no process has it. */
static bool add_unix(inodes *list)
{
    FILE *file = zt_proc_open(ZT_PROC_SELF, "net/unix");
    char *line = NULL;
    size_t size = 0;
    unsigned long inode;
    if (!file)
        return false;
    bool whole = getline(&line, &size, file) > 0; /* the heading */
    while (whole && getline(&line, &size, file) > 0)
        if (sscanf(line, "%*x: %*x %*x %*x %*x %*x %lu", &inode) == 1)
            whole = add(list, inode);
    whole = whole && !ferror(file);
    free(line);
    fclose(file);
    return whole;
}

static bool is_about_inode(const zt_stored *note)
{
    for (size_t i = 0; i < sizeof ROOMS / sizeof *ROOMS; i++)
        if (!strcmp(note->room, ROOMS[i]))
            return note->key_size >= sizeof(uint64_t);
    return false;
}

static uint32_t forget(zt_store *store, inodes *alive)
{
    uint32_t kept = 0;
    qsort(alive->of, alive->count, sizeof *alive->of, by_number);
    for (const zt_stored *note = zt_store_next(store, NULL), *next; note; note = next) {
        next = zt_store_next(store, note);
        if (!is_about_inode(note))
            continue;
        if (bsearch(note->key, alive->of, alive->count, sizeof *alive->of, by_number))
            kept++;
        else
            zt_store_remove(store, note->room, note->key, note->key_size);
    }
    return kept;
}

void zt_socket_notes_tidy(zt_pod *pod)
{
    enum { SPARE = 256 };
    inodes alive = {0};
    if (++pod->socket_notes < pod->tidy_sockets_at + SPARE)
        return;
    bool whole = add_unix(&alive);
    for (const zt_task *task = pod->tasks; whole && task; task = task->next)
        if (task->rtid.n == task->process->rpid.n)
            whole = add_held(&alive, task->rtid.n);
    if (whole && alive.count)
        pod->socket_notes = forget(&pod->store, &alive);
    free(alive.of);
    pod->tidy_sockets_at = pod->socket_notes * 2;
}
