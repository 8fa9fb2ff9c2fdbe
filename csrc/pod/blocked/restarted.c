#include "restarted.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "../../ptrace/mem.h"
#include "seen.h"

enum { NS_PER_S = 1000000000 };

void zt_restarted_note(zt_task *task, int32_t nr, const uint64_t args[6])
{
    task->restart.nr = nr;
    memcpy(task->restart.args, args, sizeof task->restart.args);
}

static bool is_noted(const zt_task *task, const uint64_t args[6])
{
    return task->restart.nr && !memcmp(task->restart.args, args, sizeof task->restart.args);
}

/* --- four calls are gone on with so: poll, nanosleep, clock_nanosleep and a futex wait with a limit */

static bool is_span_at(const zt_task *task, uint64_t address)
{
    struct timespec span;
    return zt_mem_read(task->rtid.n, address, &span, sizeof span) == sizeof span && span.tv_sec >= 0 &&
           span.tv_nsec >= 0 && span.tv_nsec < NS_PER_S;
}

/* The first argument is a clock's number, which is no address. */
static int32_t which_sleep(const zt_task *task, const uint64_t args[6])
{
    return is_span_at(task, args[0]) ? SYS_nanosleep : SYS_clock_nanosleep;
}

static bool is_futex_wait(const zt_task *task, const uint64_t args[6])
{
    const int command = (int)args[1] & FUTEX_CMD_MASK;
    return args[0] % sizeof(uint32_t) == 0 && (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) &&
           is_span_at(task, args[3]);
}

static int32_t by_arguments(const zt_task *task, const uint64_t args[6])
{
    const uint64_t no_count = 1 << 20; /* of descriptors: more than a process can have */
    const bool by_number = !is_span_at(task, args[0]);
    if (by_number && is_span_at(task, args[2]))
        return SYS_clock_nanosleep;
    if (is_futex_wait(task, args))
        return SYS_futex;
    return !by_number && (!args[1] || args[1] > no_count) ? SYS_nanosleep : SYS_poll;
}

int32_t zt_restarted_nr(const zt_task *task, const uint64_t args[6])
{
    return is_noted(task, args) ? task->restart.nr : by_arguments(task, args);
}

int32_t zt_restarted_asleep_nr(const zt_task *task, const uint64_t args[6])
{
    char where[128];
    if (is_noted(task, args) || !zt_seen_where(task->rtid.n, where, sizeof where))
        return zt_restarted_nr(task, args);
    if (strstr(where, "futex"))
        return SYS_futex;
    if (strstr(where, "poll"))
        return SYS_poll;
    return strstr(where, "sleep") ? which_sleep(task, args) : by_arguments(task, args);
}
