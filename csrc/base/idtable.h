/* Virtual and real ids, both ways. One number space: a process id, thread id, group id and
 * session id of the same number are the same id, as in the kernel.
 *
 * A pair outlives its task: a zombie can be waited for, and a group or session keeps its number
 * while it has members. Pairs of numbers that the kernel has freed are dropped when either
 * number is wanted again (zt_idtable_bind), or now and then (zt_idtable_sweep), so no reference
 * counts are kept. */
#pragma once
#include "intmap.h"

/* One-member structs, so that mixing the two does not compile. */
/* clang-format off */
typedef struct zt_vpid { int32_t n; } zt_vpid;
typedef struct zt_rpid { int32_t n; } zt_rpid;
/* clang-format on */

typedef struct zt_idtable {
    zt_intmap real_of;
    zt_intmap virtual_of;
} zt_idtable;

int zt_idtable_create(zt_idtable *table);
void zt_idtable_destroy(zt_idtable *table);

zt_rpid zt_idtable_to_real(const zt_idtable *table, zt_vpid vpid);    /* .n 0: not in the pod */
zt_vpid zt_idtable_to_virtual(const zt_idtable *table, zt_rpid rpid); /* .n 0: not in the pod */

/* Bind the two, dropping a stale pair of either. -1: no memory. */
int zt_idtable_bind(zt_idtable *table, zt_vpid vpid, zt_rpid rpid);
void zt_idtable_drop(zt_idtable *table, zt_vpid vpid);

/* Drop the pairs of numbers that no task, no group and nothing in `kept` holds. -1: no memory. */
int zt_idtable_sweep(zt_idtable *table, const zt_intmap *kept);

/* A free vpid for a new task: the same number if no living pair has it, else the next free above. */
zt_vpid zt_idtable_choose(zt_idtable *table, zt_rpid rpid);
