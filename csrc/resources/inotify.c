/* What inotify watches. The kernel keeps an inode, and shows its number only: the path that it was found by is
 * noted, whoever watches it. The upper half looks whether it still leads there.
 *
 * path -> the mask that was asked for, uint32_t: kernels before 5.19 do not show all of it. */
#include <fcntl.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "../base/proc.h"
#include "resource.h"

static const char ROOM[] = "inotify";

/* Forget paths that lead nowhere, once there are many more than at the last time. */
static void tidy(zt_pod *pod)
{
    enum { SPARE = 1024 };
    char path[PATH_MAX];
    if (++pod->watch_notes < pod->tidy_watches_at + SPARE)
        return;
    pod->watch_notes = 0;
    for (const zt_stored *note = zt_store_next(&pod->store, NULL), *next; note; note = next) {
        next = zt_store_next(&pod->store, note);
        if (strcmp(note->room, ROOM) || note->key_size >= sizeof path)
            continue;
        memcpy(path, note->key, note->key_size);
        path[note->key_size] = 0;
        if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW))
            zt_store_remove(&pod->store, ROOM, note->key, note->key_size);
        else
            pod->watch_notes++;
    }
    pod->tidy_watches_at = pod->watch_notes * 2;
}

void zt_inotify_add_watch_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    char path[PATH_MAX], found[PATH_MAX];
    const uint32_t mask = (uint32_t)call->asked[2];
    if (call->answer < 0 || zt_hook_path(task, call->asked[1], path) < 0 ||
        zt_proc_resolve(task->rtid.n, path, !(mask & IN_DONT_FOLLOW), found, sizeof found))
        return; /* it was moved meanwhile: the upper half says so if it is not found */
    const uint32_t size = (uint32_t)strlen(found);
    const bool known = zt_store_get(&pod->store, ROOM, found, size);
    zt_hook_store(pod, call, ROOM, found, size, &mask, sizeof mask);
    if (!known)
        tidy(pod);
}
