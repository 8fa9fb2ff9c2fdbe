/* How often threads of a pod stopped for the tracer, and at what: what being traced costs it. */
#pragma once
#include <stdint.h>

#include "../api.h"
#include "../ptrace/stop.h"

typedef struct zt_counts {
    uint64_t stops[ZT_COUNT_KINDS];
    zt_call_stops *calls; /* by number, and one more for those that have no row */
} zt_counts;

int zt_counts_create(zt_counts *counts); /* 0, or -ENOMEM */
void zt_counts_destroy(zt_counts *counts);
void zt_counts_stop(zt_counts *counts, zt_stop stop);
/* A thread was answered an errno on purpose. */
void zt_counts_refused(zt_counts *counts, int32_t nr, int32_t rtid);
zt_call_stops *zt_counts_of(zt_counts *counts, int32_t nr); /* never NULL */
