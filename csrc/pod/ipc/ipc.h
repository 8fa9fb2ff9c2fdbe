/* System V objects of a pod: segments of shared memory, sets of semaphores, queues of messages.
 *
 * Keys are the pod's own: the kernel is asked for objects without one. Numbers are the kernel's until
 * the pod moves. The tracer makes every object, and removes what is left when the pod ends. It keeps a
 * segment attached, and marks it for removal at once: so a segment goes with the pod even if nobody is
 * left to remove it. Programs are not told: what the *ctl calls show is corrected (zt_ipc_show).
 *
 * The kernel notes who used an object last, and when: by numbers of this host, and also what we do.
 * Those are *stamps*. A stamp that is as it was when we had done our part (base) is shown as it was
 * before (was); any other is a program's doing. What is undone to a semaphore at the end of a process
 * the kernel tells nobody, so semop is watched. */
#pragma once
#include <stdbool.h>
#include <stddef.h>

#include "../../api.h"
#include "../../base/idtable.h"
#include "heir.h"
#include "kernel.h"

typedef struct zt_ipc_undo {
    int32_t process, semaphore, by;
} zt_ipc_undo;

typedef struct zt_ipc_object {
    zt_ipc ipc; /* first: what a caller of the API holds is the object */
    struct zt_ipc_object *next;
    void *held; /* a segment: where it is attached to us; NULL: it is not */
    bool ours;  /* ... for as long as no program removes it */
    int64_t base[ZT_IPC_STAMPS], was[ZT_IPC_STAMPS];
    uint32_t news; /* bit i: stamp i is a program's doing, even if it looks like the base */
    int32_t *pids; /* of a set, in a pod that moved: who changed each last. Else the kernel knows */
    zt_ipc_undo *undos;
    uint32_t undo_count, undo_capacity;
} zt_ipc_object;

struct zt_ipcs {
    zt_ipc_object *first;    /* oldest first */
    const zt_idtable *moved; /* the numbers of processes, in a pod that moved; else NULL */
    zt_heir heir;
};

zt_ipc_object *zt_ipc_find(zt_ipcs *ipcs, int32_t kind, int32_t vid);
zt_ipc_object *zt_ipc_of_key(zt_ipcs *ipcs, int32_t kind, int32_t key);
zt_ipc_object *zt_ipc_at(zt_ipcs *ipcs, int32_t kind, int32_t index); /* the one of its kind at this place */
int32_t zt_ipc_count(zt_ipcs *ipcs, int32_t kind, uint64_t *ret_size);
void zt_ipc_drop(zt_ipcs *ipcs, zt_ipc_object *object); /* from the table alone */

/* What the kernel says of it; false: it is gone. */
static inline bool zt_ipc_look(const zt_ipc_object *object, zt_ipc_ds *ret)
{
    return zt_ipc_look_at(object->ipc.kind, object->ipc.rid, ret);
}

/* Who a thread is: uid and gid of what it makes. False: it is gone. */
bool zt_ipc_owner(int32_t rtid, zt_ipc *ret);
/* A new one, with the mode that `flags` has. NULL: *ret_error is the errno. */
zt_ipc_object *zt_ipc_create(zt_ipcs *ipcs, const zt_ipc *like, int32_t flags, int *ret_error);

/* What the kernel says of it, as programs are told. */
void zt_ipc_show(zt_ipcs *ipcs, const zt_ipc_object *object, zt_ipc_ds *ds);

/* As it is now, it is shown with these stamps. */
void zt_ipc_rebase(zt_ipc_object *object, const int64_t *stamps);
/* A segment is attached to us, and not to what we fork, which would be a use of it. (void *)-1: errno. */
void *zt_ipc_attach(const zt_ipc_object *object, int flags);

void zt_ipc_removed(zt_ipcs *ipcs, zt_ipc_object *object);      /* by a program, from the kernel */
void zt_ipc_undo_by(zt_ipc_object *object, zt_vpid process, uint16_t semaphore, int by); /* by more */
void zt_ipc_undo_never(zt_ipc_object *object, int semaphore); /* -1: of the whole set */
void zt_ipc_process_ended(zt_ipcs *ipcs, zt_vpid process);
/* The same where nobody was told: of all those that `lives` denies. */
void zt_ipc_look_for_ended(zt_ipcs *ipcs, bool (*lives)(void *context, zt_vpid process), void *context);
void zt_ipc_clear(zt_ipcs *ipcs);
