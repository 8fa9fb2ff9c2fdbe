/* seccomp filters that programs put on themselves, seccomp(2).
 *
 * The kernel runs all filters of a thread, ours first made, and takes the strictest verdict; so theirs
 * come on top of ours, as they are, behind a preamble that lets pass what is ours: the interpreter's
 * calls, and those that we issue in place of what a program asked for. Such a call shows the address
 * ZT_STUB_ISSUED while the kernel looks at it for the second time; what was asked passed the first.
 *
 * Nobody can read a filter back, so each is kept: an entry of the store under its number, with the number
 * of the one below it. A thread has the number of its newest. */
#pragma once
#include "pod.h"

#define ZT_SECCOMP_ROOM "seccomp"

/* In place of a number: there may be one, and it is not kept. */
#define ZT_SECCOMP_UNKNOWN (-1)

typedef struct zt_seccomp_kept {
    int32_t below; /* 0: it is the first */
    uint32_t flags;
    /* struct sock_filter each, up to the end of the entry: as the program gave it, without the preamble */
} zt_seccomp_kept;

/* A program asks for strict mode, or for the filter of the struct sock_fprog at `filter`. The verdict;
 * with ZT_GO the argument `at` that is issued is a struct sock_fprog. `noted` is for the exit half. */
zt_verdict zt_seccomp_strict(zt_pod *pod, zt_task *task, zt_call *call, int at);
zt_verdict zt_seccomp_filter(zt_pod *pod, zt_task *task, zt_call *call, int at, uint64_t flags);
void zt_seccomp_noted(zt_pod *pod, zt_task *task, zt_call *call);

/* What stopped a thread on its way into a call is a filter of its own: what native does without a
 * tracer is done, in its registers. False: it was ours. */
bool zt_seccomp_stopped(zt_task *task, unsigned long message, zt_regs *regs);

/* Is it in strict mode? A call of such a thread that is looked at without a stop is one that ends it. */
bool zt_seccomp_is_strict(zt_pod *pod, const zt_task *task);
void zt_seccomp_end_strict(zt_task *task);
/* It is about to receive a signal, and to end by what the above did: have it do so. */
int zt_seccomp_end_alone(zt_task *task, zt_err *err);

/* Has anybody of the pod put on a filter, or had one when the pod was restored? */
bool zt_seccomp_are_there(zt_pod *pod);

/* A filter that a new program or thread may have comes with its maker. */
void zt_seccomp_inherit(zt_task *task, const zt_task *maker);

/* The preamble, as BPF: its bytes. */
int32_t zt_seccomp_preamble(void *ret, int32_t capacity);
