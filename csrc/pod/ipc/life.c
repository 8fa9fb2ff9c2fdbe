/* Objects are made, settle, and are removed. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../../base/proc.h"
#include "ipc.h"

void *zt_ipc_attach(const zt_ipc_object *object, int flags)
{
    zt_ipc_ds ds;
    void *held = zt_ipc_look(object, &ds) ? shmat(object->ipc.rid, NULL, flags) : (void *)-1;
    if (held != (void *)-1 && madvise(held, ds.shm.size, MADV_DONTFORK)) {
        shmdt(held);
        return (void *)-1;
    }
    return held;
}

static int set_owner(const zt_ipc_object *object, const zt_ipc *like)
{
    zt_ipc_ds ds;
    if (!zt_ipc_look(object, &ds))
        return -errno;
    ds.perm.mode = like->mode;
    ds.perm.uid = like->uid, ds.perm.gid = like->gid;
    if (object->ipc.kind == ZT_IPC_MSG && like->size)
        ds.msg.qbytes = like->size; /* else as the kernel gave it */
    return zt_ipc_control(object->ipc.kind, object->ipc.rid, IPC_SET, &ds) ? -errno : 0;
}

/* Attached to us and marked for removal, it goes with us. */
static int keep_segment(zt_ipc_object *object)
{
    void *held = zt_ipc_attach(object, 0);
    if (held == (void *)-1)
        return -errno;
    object->held = held;
    object->ours = true;
    return zt_ipc_control(ZT_IPC_SHM, object->ipc.rid, IPC_RMID, NULL) ? -errno : 0;
}

static int32_t choose_vid(zt_ipcs *ipcs, int32_t kind, int32_t rid)
{
    enum { SEQUENCE = 0x8000 };
    uint32_t vid = (uint32_t)rid;
    while (zt_ipc_find(ipcs, kind, (int32_t)vid))
        vid = (vid + SEQUENCE) & INT32_MAX;
    return (int32_t)vid;
}

static void append(zt_ipcs *ipcs, zt_ipc_object *object)
{
    zt_ipc_object **end = &ipcs->first;
    while (*end)
        end = &(*end)->next;
    *end = object;
}

static int create(zt_ipcs *ipcs, zt_ipc_object *object, const zt_ipc *like, int32_t flags)
{
    enum { OWNER_MAY = 0600 };
    long rid;
    flags = (flags & ~(IPC_CREAT | IPC_EXCL | 0777)) | OWNER_MAY; /* its mode comes when it is ours */
    if (like->kind == ZT_IPC_SHM)
        rid = syscall(SYS_shmget, IPC_PRIVATE, like->size, flags);
    else if (like->kind == ZT_IPC_SEM)
        rid = syscall(SYS_semget, IPC_PRIVATE, (int)like->size, flags);
    else
        rid = syscall(SYS_msgget, IPC_PRIVATE, flags);
    if (rid < 0)
        return -errno;
    object->ipc = *like;
    object->ipc.rid = (int32_t)rid;
    object->ipc.removed = 0;
    if (like->vid < 0)
        object->ipc.vid = choose_vid(ipcs, like->kind, (int32_t)rid);
    int failed = like->kind == ZT_IPC_SHM ? keep_segment(object) : 0;
    if (!failed)
        failed = set_owner(object, like);
    if (!failed && like->kind == ZT_IPC_SEM) {
        object->pids = calloc(like->size, sizeof *object->pids);
        failed = object->pids ? 0 : -ENOMEM;
    }
    if (!failed)
        return 0;
    if (object->held)
        shmdt(object->held);
    zt_ipc_control(like->kind, (int32_t)rid, IPC_RMID, NULL);
    return failed;
}

static zt_ipc_object *make(zt_ipcs *ipcs, const zt_ipc *like, int32_t flags, int *ret_error)
{
    zt_ipc_object *object = calloc(1, sizeof *object);
    int failed = object ? create(ipcs, object, like, flags) : -ENOMEM;
    if (failed) {
        free(object);
        *ret_error = -failed;
        return NULL;
    }
    append(ipcs, object);
    if (like->kind != ZT_IPC_SHM)
        zt_heir_tell(&ipcs->heir, like->kind, object->ipc.rid, true);
    return object;
}

void zt_ipc_rebase(zt_ipc_object *object, const int64_t *stamps)
{
    zt_ipc_ds ds;
    if (!zt_ipc_look(object, &ds))
        return;
    const int count = zt_ipc_stamps(object->ipc.kind, &ds, object->base);
    memcpy(object->was, stamps, (size_t)count * sizeof *stamps);
    object->news = 0;
}

bool zt_ipc_owner(int32_t rtid, zt_ipc *ret)
{
    char text[2048];
    if (zt_proc_read(rtid, "status", text, sizeof text))
        return false;
    const char *uid = zt_proc_value(text, "Uid"), *gid = zt_proc_value(text, "Gid");
    return uid && gid && sscanf(uid, "%*u %u", &ret->uid) == 1 && sscanf(gid, "%*u %u", &ret->gid) == 1;
}

zt_ipc_object *zt_ipc_create(zt_ipcs *ipcs, const zt_ipc *like, int32_t flags, int *ret_error)
{
    zt_ipc wanted = *like;
    zt_ipc_ds ds;
    int64_t stamps[ZT_IPC_STAMPS] = {0};
    wanted.mode = (uint32_t)flags & 0777;
    wanted.vid = -1;
    wanted.cuid = wanted.uid, wanted.cgid = wanted.gid;
    zt_ipc_object *object = make(ipcs, &wanted, flags, ret_error);
    if (!object)
        return NULL;
    if (zt_ipc_look(object, &ds)) { /* made now, and used by nobody */
        const int32_t kind = object->ipc.kind;
        const int ctime = kind == ZT_IPC_SEM ? 1 : 2;
        int64_t now[ZT_IPC_STAMPS];
        zt_ipc_stamps(kind, &ds, now);
        stamps[ctime] = now[ctime];
    }
    zt_ipc_rebase(object, stamps);
    return object;
}

int zt_ipc_make(zt_ipcs *ipcs, const zt_ipc *like)
{
    int error = 0;
    zt_ipc wanted = *like;
    wanted.mode |= 0600;
    return make(ipcs, &wanted, 0, &error) ? 0 : -error;
}

int zt_ipc_settle(zt_ipcs *ipcs, const zt_ipc *like)
{
    zt_ipc_object *object = zt_ipc_find(ipcs, like->kind, like->vid);
    if (!object)
        return -EINVAL;
    int failed = set_owner(object, like);
    if (like->removed)
        zt_ipc_removed(ipcs, object);
    zt_ipc_rebase(object, like->stamps);
    return failed;
}

/* -- removing */

void zt_ipc_removed(zt_ipcs *ipcs, zt_ipc_object *object)
{
    if (object->ipc.kind != ZT_IPC_SHM) {
        zt_heir_tell(&ipcs->heir, object->ipc.kind, object->ipc.rid, false);
        zt_ipc_drop(ipcs, object);
        return;
    }
    object->ipc.removed = 1;
    object->ipc.key = IPC_PRIVATE;
    object->ours = false;
    if (object->held) {
        zt_ipc_ds ds;
        int64_t stamps[ZT_IPC_STAMPS];
        const bool looked = zt_ipc_look(object, &ds);
        if (looked) {
            zt_ipc_show(ipcs, object, &ds);
            zt_ipc_stamps(ZT_IPC_SHM, &ds, stamps);
        }
        shmdt(object->held);
        object->held = NULL;
        if (looked)
            zt_ipc_rebase(object, stamps);
    }
}

void zt_ipc_clear(zt_ipcs *ipcs)
{
    while (ipcs->first) {
        zt_ipc_object *object = ipcs->first;
        if (object->held)
            shmdt(object->held);
        if (object->ipc.kind != ZT_IPC_SHM)
            zt_ipc_control(object->ipc.kind, object->ipc.rid, IPC_RMID, NULL);
        zt_ipc_drop(ipcs, object);
    }
    zt_heir_dismiss(&ipcs->heir);
}
