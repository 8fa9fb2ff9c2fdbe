#pragma once

#include <stdint.h>

/*
 * What our vDSO needs to know: one block in every process of a pod, at the fixed address ZT_VDSO_PARAMS.
 * zaptrace fills it in before the program's first instruction, and again at a restore on another host.
 *
 * A thread may be stopped between reading this block and coming back from the function that it names.
 * So whoever fills it in anew must first see every thread out of both vDSOs, ours and the host's:
 * nothing in here is kept across calls, but the return address of a call in progress is.
 */
struct zt_vdso_params {
    /* The functions of the host's own vDSO, as addresses in this process; 0: make the system call. */
    uint64_t clock_gettime;
    uint64_t gettimeofday;
    uint64_t time;
    uint64_t clock_getres;
    uint64_t getcpu;
    /* Added to the clocks that start with the host: the pod's monotonic time minus the host's. */
    int64_t monotonic_offset_ns;
    /* Whose process this is: the same number in all processes of a pod whose threads are not always attached, and in
     * no others, which have 0. */
    uint64_t pod_mark;
};
