/* The vDSO that this host's kernel maps into every process, and its data pages before it.
 * Their sizes and order are the same in all processes; only the address differs. */
#pragma once
#include "../base/err.h"

enum { ZT_HOST_PARTS = 6 };

typedef struct zt_host_vdso {
    struct {
        int64_t offset; /* from the vDSO's own address; the data pages have negative ones */
        uint64_t size;
    } part[ZT_HOST_PARTS];
    int parts;
    int64_t lowest;        /* the smallest offset */
    uint64_t size;         /* of all parts together */
    uint64_t syscall_insn; /* offset of an instruction that enters the kernel */
    struct {
        uint64_t clock_gettime, gettimeofday, time, clock_getres, getcpu; /* offsets; 0: not there */
    } symbol;
    uint64_t mark; /* of a pod: its processes have it beside what they are told of this host (pod/members.h) */
} zt_host_vdso;

/* Look at our own. -1: this host has no vDSO that can be used. */
int zt_host_vdso_find(zt_host_vdso *ret, zt_err *err);
