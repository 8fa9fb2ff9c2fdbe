#include "pi.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <sys/sysmacros.h>

#include "../base/proc.h"
#include "../ptrace/mem.h"

zt_futex_key zt_pi_key(const zt_task *task, uint64_t address, bool private)
{
    char line[512];
    zt_futex_key key = {.object = (uint64_t)task->process->rpid.n, .at = address};
    FILE *maps = private ? NULL : zt_proc_open(task->process->rpid.n, "maps");
    while (maps && fgets(line, sizeof line, maps)) {
        uint64_t start, end, offset, inode;
        unsigned major, minor;
        char access[5];
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %" SCNu64, &start, &end, access, &offset,
                   &major, &minor, &inode) != 7 ||
            address < start || address >= end)
            continue;
        if (access[3] == 's')
            key = (zt_futex_key){inode, (uint64_t)makedev(major, minor) + 1, offset + (address - start)};
        break;
    }
    if (maps)
        fclose(maps);
    return key;
}

bool zt_pi_same(const zt_futex_key *one, const zt_futex_key *other)
{
    return one->object == other->object && one->device == other->device && one->at == other->at;
}

zt_task *zt_pi_owner(zt_pod *pod, uint32_t word)
{
    int32_t vtid = (int32_t)(word & FUTEX_TID_MASK);
    return vtid ? zt_pod_task(pod, zt_idtable_to_real(&pod->ids, (zt_vpid){vtid}).n) : NULL;
}

static bool read_word(const zt_task *task, uint64_t address, uint32_t *ret)
{
    return zt_mem_read(task->rtid.n, address, ret, sizeof *ret) == sizeof *ret;
}

bool zt_pi_write(const zt_task *task, uint64_t word, uint32_t value)
{
    return zt_mem_write(task->rtid.n, word, &value, sizeof value) == sizeof value;
}

bool zt_pi_is_deadlock(zt_pod *pod, const zt_task *task, zt_task *owner)
{
    uint32_t word;
    for (int32_t i = 0; i <= pod->task_count && owner; i++) {
        if (owner == task)
            return true;
        if (owner->pi.wait != ZT_PI_LOCK || !read_word(owner, owner->pi.word, &word))
            return false;
        owner = zt_pi_owner(pod, word);
    }
    return owner;
}

void zt_pi_wait_for(zt_pod *pod, zt_task *task, zt_pi_wait wait, zt_futex_key key, uint64_t word)
{
    task->pi.wait = wait;
    task->pi.granted = false;
    task->pi.key = key;
    task->pi.word = word;
    task->pi.number = pod->pi_waits++;
}

/* 0 for all that have none. */
static int priority(const zt_task *task)
{
    struct sched_param param;
    int policy = sched_getscheduler(task->rtid.n) & ~SCHED_RESET_ON_FORK;
    if (policy == SCHED_DEADLINE)
        return INT32_MAX;
    if ((policy != SCHED_FIFO && policy != SCHED_RR) || sched_getparam(task->rtid.n, &param))
        return 0;
    return param.sched_priority;
}

zt_task *zt_pi_next(zt_pod *pod, const zt_futex_key *key)
{
    zt_task *best = NULL;
    int best_priority = 0;
    for (zt_task *task = pod->tasks; task; task = task->next) {
        if (task->pi.wait != ZT_PI_LOCK || !zt_pi_same(&task->pi.key, key))
            continue;
        int own = priority(task);
        if (!best || own > best_priority || (own == best_priority && task->pi.number < best->pi.number)) {
            best = task;
            best_priority = own;
        }
    }
    return best;
}

bool zt_pi_grant(zt_task *waiter, uint32_t more_bits)
{
    zt_err ignored; /* it dies: then it hands the futex on as it ends */
    waiter->pi.wait = ZT_PI_NONE;
    waiter->pi.granted = zt_pi_write(waiter, waiter->pi.word, (uint32_t)waiter->vtid.n | FUTEX_WAITERS | more_bits);
    zt_interrupt(waiter->rtid.n, &ignored);
    return waiter->pi.granted;
}

void zt_pi_owner_gone(zt_pod *pod, zt_task *gone)
{
    gone->pi.wait = ZT_PI_NONE;
    for (zt_task *task = pod->tasks; task; task = task->next) {
        uint32_t word;
        if (task->pi.wait != ZT_PI_LOCK || !read_word(task, task->pi.word, &word) ||
            (word & FUTEX_TID_MASK) != (uint32_t)gone->vtid.n)
            continue;
        const zt_futex_key key = task->pi.key;
        for (zt_task *next; (next = zt_pi_next(pod, &key));)
            if (zt_pi_grant(next, FUTEX_OWNER_DIED))
                break;
    }
}
