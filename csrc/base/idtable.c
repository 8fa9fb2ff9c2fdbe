#include "idtable.h"

#include <errno.h>
#include <signal.h>

int zt_idtable_create(zt_idtable *table)
{
    if (zt_intmap_create(&table->real_of))
        return -1;
    if (zt_intmap_create(&table->virtual_of)) {
        zt_intmap_destroy(&table->real_of);
        return -1;
    }
    return 0;
}

void zt_idtable_destroy(zt_idtable *table)
{
    zt_intmap_destroy(&table->real_of);
    zt_intmap_destroy(&table->virtual_of);
}

zt_rpid zt_idtable_to_real(const zt_idtable *table, zt_vpid vpid)
{
    return (zt_rpid){(int32_t)zt_intmap_get(&table->real_of, vpid.n)};
}

zt_vpid zt_idtable_to_virtual(const zt_idtable *table, zt_rpid rpid)
{
    return (zt_vpid){(int32_t)zt_intmap_get(&table->virtual_of, rpid.n)};
}

void zt_idtable_drop(zt_idtable *table, zt_vpid vpid)
{
    zt_rpid rpid = zt_idtable_to_real(table, vpid);
    if (!rpid.n)
        return;
    zt_intmap_remove(&table->real_of, vpid.n);
    zt_intmap_remove(&table->virtual_of, rpid.n);
}

int zt_idtable_bind(zt_idtable *table, zt_vpid vpid, zt_rpid rpid)
{
    zt_idtable_drop(table, zt_idtable_to_virtual(table, rpid));
    zt_idtable_drop(table, vpid);
    if (zt_intmap_put(&table->real_of, vpid.n, (uintptr_t)rpid.n))
        return -1;
    return zt_intmap_put(&table->virtual_of, rpid.n, (uintptr_t)vpid.n);
}

/* Is the number still held, by a task (also a zombie) or by a process group? */
static bool held(zt_rpid rpid)
{
    if (kill(rpid.n, 0) == 0 || errno != ESRCH)
        return true;
    return kill(-rpid.n, 0) == 0 || errno != ESRCH;
}

int zt_idtable_sweep(zt_idtable *table, const zt_intmap *kept)
{
    zt_idtable fresh;
    if (zt_idtable_create(&fresh))
        return -1;
    for (uint32_t i = 0; i <= table->virtual_of.mask; i++) {
        const zt_intmap_slot *slot = &table->virtual_of.slots[i];
        zt_rpid rpid = {slot->key};
        if (!rpid.n || !(zt_intmap_get(kept, rpid.n) || held(rpid)))
            continue;
        if (zt_idtable_bind(&fresh, (zt_vpid){(int32_t)slot->value}, rpid)) {
            zt_idtable_destroy(&fresh);
            return -1;
        }
    }
    zt_idtable_destroy(table);
    *table = fresh;
    return 0;
}

zt_vpid zt_idtable_choose(zt_idtable *table, zt_rpid rpid)
{
    zt_vpid candidate = {rpid.n};
    for (;; candidate.n++) {
        if (candidate.n <= 1)
            candidate.n = 2;
        zt_rpid holder = zt_idtable_to_real(table, candidate);
        if (!holder.n || holder.n == rpid.n)
            return candidate; /* holder == rpid: the kernel gave the number out again: it was stale */
        if (!held(holder)) {
            zt_idtable_drop(table, candidate);
            return candidate;
        }
    }
}
