/* What lies in the second half of a thread's scratch slot while a call is made again: the program's
 * own memory stays as it is, as other threads can look at it. */
#pragma once
#include <stddef.h>
#include <sys/socket.h>
#include <time.h>

#include "../pod.h"

enum { ZT_SCRATCH_ENTRIES = 14 };

typedef struct zt_scratch {
    struct timespec span;
    union {
        struct {
            struct msghdr message;
            struct iovec vector[ZT_SCRATCH_ENTRIES];
        };
        struct {
            unsigned char answer[64]; /* to a ZT_STEP_ASK */
            socklen_t answer_size;
        };
    };
} zt_scratch;
_Static_assert(sizeof(zt_scratch) <= ZT_STUB_SCRATCH_AGAIN, "it fits into a scratch slot");

static inline uint64_t zt_scratch_of(const zt_task *task, size_t member)
{
    return zt_task_scratch(task) + ZT_STUB_SCRATCH_SLOT + member;
}
