#include "robust.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../ptrace/mem.h"

static bool read_word(const zt_task *task, uint64_t address, void *ret, uint64_t size)
{
    return zt_mem_read(task->rtid.n, address, ret, size) == (int64_t)size;
}

/* A PI futex that somebody waits for was handed over already (pi.h); the rest are marked here, as the
 * kernel wakes nobody for them. */
static void hand_over(const zt_task *task, uint64_t word_address, bool pi)
{
    uint32_t word;
    if (!read_word(task, word_address, &word, sizeof word) || (word & FUTEX_TID_MASK) != (uint32_t)task->vtid.n)
        return;
    if (pi)
        word = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    else
        word = (word & ~(uint32_t)FUTEX_TID_MASK) | (uint32_t)task->rtid.n;
    zt_mem_write(task->rtid.n, word_address, &word, sizeof word);
}

void zt_robust_hand_over(const zt_task *task)
{
    enum { PI = 1 }; /* the low bit of a pointer to an entry says that it is a PI futex */
    struct robust_list_head *at, head;
    size_t size;
    if (task->vtid.n == task->rtid.n || syscall(SYS_get_robust_list, task->rtid.n, &at, &size) || !at)
        return;
    if (!read_word(task, (uint64_t)at, &head, sizeof head))
        return;
    uint64_t entry = (uint64_t)head.list.next;
    for (int i = 0; i < ROBUST_LIST_LIMIT && (entry & ~(uint64_t)PI) != (uint64_t)at; i++) {
        struct robust_list next;
        hand_over(task, (entry & ~(uint64_t)PI) + (uint64_t)head.futex_offset, entry & PI);
        if (!read_word(task, entry & ~(uint64_t)PI, &next, sizeof next))
            break;
        entry = (uint64_t)next.next;
    }
    entry = (uint64_t)head.list_op_pending;
    if (entry)
        hand_over(task, (entry & ~(uint64_t)PI) + (uint64_t)head.futex_offset, entry & PI);
}
