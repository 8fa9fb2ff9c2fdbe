#include "counts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/proc.h"

int zt_counts_create(zt_counts *counts)
{
    counts->calls = calloc((size_t)zt_call_count() + 1, sizeof *counts->calls);
    return counts->calls ? 0 : -ENOMEM;
}

void zt_counts_destroy(zt_counts *counts)
{
    free(counts->calls);
}

void zt_counts_stop(zt_counts *counts, zt_stop stop)
{
    static const int kinds[] = {
        [ZT_STOP_EXITED] = ZT_COUNT_END,    [ZT_STOP_REST] = ZT_COUNT_REST,   [ZT_STOP_GROUP] = ZT_COUNT_REST,
        [ZT_STOP_SECCOMP] = ZT_COUNT_ENTRY, [ZT_STOP_CALL] = ZT_COUNT_CALL,   [ZT_STOP_FORK] = ZT_COUNT_BIRTH,
        [ZT_STOP_VFORK] = ZT_COUNT_BIRTH,   [ZT_STOP_EXEC] = ZT_COUNT_EXEC,   [ZT_STOP_ENDING] = ZT_COUNT_END,
        [ZT_STOP_SIGNAL] = ZT_COUNT_SIGNAL, [ZT_STOP_OTHER] = ZT_COUNT_OTHER,
    };
    counts->stops[kinds[stop.kind]]++;
}

zt_call_stops *zt_counts_of(zt_counts *counts, int32_t nr)
{
    return &counts->calls[nr >= 0 && nr < zt_call_count() ? nr : zt_call_count()];
}

void zt_counts_refused(zt_counts *counts, int32_t nr, int32_t rtid)
{
    zt_call_stops *of = zt_counts_of(counts, nr);
    of->refused++;
    if (zt_proc_read(rtid, "comm", of->who, sizeof of->who))
        of->who[0] = 0; /* it is being killed */
    of->who[strcspn(of->who, "\n")] = 0;
}
