/* Futexes: moments on the pod's clock, and priority inheritance, which goes by numbers of threads and
 * is served here, not by the kernel (pod/pi.h).
 *
 * FUTEX_LOCK_PI of a futex that somebody may have:
 *
 *   1. FUTEX_WAITERS is set in its word by a FUTEX_WAKE_OP that stands in for the call. Where that is
 *      set already this is left out.
 *   2. If the word has no owner, the caller gets it. Else the call is made again, and waits:
 *   3. a FUTEX_WAIT on a word of the thread's scratch slot, which nobody wakes, stands in for it; who
 *      hands the futex over interrupts that.
 *
 * Whatever interrupts 3, the call is made again, as the kernel's own would be. So a frozen pod has a
 * thread that is about to make its call as it was asked, and nothing of this is in an image. */
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>

#include "../pod/pi.h"
#include "common/deadline.h"
#include "resource.h"

enum {
    LOCK_PI2_ = 13, /* FUTEX_LOCK_PI2, Linux 5.14 */
    WORD = 0,
    TIME = 16, /* in the scratch slot */
};

static bool is_private(const zt_call *call)
{
    return call->asked[1] & FUTEX_PRIVATE_FLAG;
}

static bool read_word(const zt_task *task, uint64_t address, uint32_t *ret)
{
    return zt_hook_read(task, address, ret, sizeof *ret);
}

static uint32_t owner_in(uint32_t word)
{
    return word & FUTEX_TID_MASK;
}

/* --- calls that stand in */

/* Issue one that sets FUTEX_WAITERS in the word at `address`, wakes nobody, and changes nothing else. */
static zt_verdict set_waiters(zt_task *task, zt_call *call, uint64_t address)
{
    const uint32_t nobody = 0xfff; /* of words that are -1 */
    const uint32_t set =
        (uint32_t)(FUTEX_OP_OR | FUTEX_OP_OPARG_SHIFT) << 28 | FUTEX_OP_CMP_EQ << 24 | 31 << 12 | nobody;
    const uint64_t issued[6] = {
        zt_task_scratch(task) + WORD, FUTEX_WAKE_OP | (is_private(call) ? FUTEX_PRIVATE_FLAG : 0), 0, 0, address, set};
    memcpy(call->issued, issued, sizeof issued);
    call->stands_in = true;
    return ZT_GO;
}

/* The moment that argument 3 points to: 0, or -EFAULT or -EINVAL. */
static int64_t read_deadline(const zt_task *task, const zt_call *call, struct timespec *ret)
{
    if (!call->asked[3])
        return 0;
    if (!zt_hook_read(task, call->asked[3], ret, sizeof *ret))
        return -EFAULT;
    return zt_time_is_sane(ret) ? 0 : -EINVAL;
}

/* Issue one that waits until it is interrupted, or until then. */
static zt_verdict wait_here(zt_pod *pod, zt_task *task, zt_call *call, bool realtime)
{
    const uint32_t word = 0;
    const uint64_t scratch = zt_task_scratch(task);
    struct timespec until;
    uint64_t deadline = 0;
    if (call->asked[3]) {
        int64_t failed = read_deadline(task, call, &until);
        if (failed)
            return zt_hook_answer(call, failed);
        if (!realtime)
            until = zt_time_of_kernel(until, pod->clock_offset_ns);
        deadline = scratch + TIME;
        if (!zt_hook_write(task, deadline, &until, sizeof until))
            return zt_hook_answer(call, -EFAULT);
    }
    if (!zt_hook_write(task, scratch + WORD, &word, sizeof word))
        return zt_hook_answer(call, -EFAULT);
    const uint64_t issued[6] = {scratch + WORD,
                                FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | (realtime ? FUTEX_CLOCK_REALTIME : 0),
                                word,
                                deadline,
                                0,
                                FUTEX_BITSET_MATCH_ANY};
    memcpy(call->issued, issued, sizeof issued);
    call->stands_in = true;
    return ZT_GO;
}

/* --- lock, trylock, unlock */

/* In `word`, which only we can change now, is nobody: the caller has it. */
static int64_t take(zt_pod *pod, zt_task *task, const zt_call *call, uint32_t word)
{
    const zt_futex_key key = zt_pi_key(task, call->asked[0], is_private(call));
    const uint32_t waiters = zt_pi_next(pod, &key) ? FUTEX_WAITERS : 0;
    const uint32_t value = (word & FUTEX_OWNER_DIED) | waiters | (uint32_t)task->vtid.n;
    return zt_pi_write(task, call->asked[0], value) ? 0 : -EFAULT;
}

static zt_verdict lock_enter(zt_pod *pod, zt_task *task, zt_call *call, int command)
{
    const uint64_t address = call->asked[0];
    const bool try = command == FUTEX_TRYLOCK_PI;
    struct timespec unused;
    uint32_t word;
    int64_t failed = address % sizeof word ? -EINVAL : try ? 0 : read_deadline(task, call, &unused);
    if (!failed && !read_word(task, address, &word))
        failed = -EFAULT;
    if (failed)
        return zt_hook_answer(call, failed);
    if (owner_in(word) == (uint32_t)task->vtid.n)
        return zt_hook_answer(call, -EDEADLK);
    if (!(word & FUTEX_WAITERS))
        return set_waiters(task, call, address);
    if (!owner_in(word))
        return zt_hook_answer(call, take(pod, task, call, word));
    zt_task *owner = zt_pi_owner(pod, word);
    if (!owner)
        return zt_hook_answer(call, -ESRCH);
    if (try)
        return zt_hook_answer(call, -EAGAIN);
    if (zt_pi_is_deadlock(pod, task, owner))
        return zt_hook_answer(call, -EDEADLK);
    zt_verdict verdict = wait_here(pod, task, call, command == FUTEX_LOCK_PI || call->asked[1] & FUTEX_CLOCK_REALTIME);
    if (verdict == ZT_GO)
        zt_pi_wait_for(pod, task, ZT_PI_LOCK, zt_pi_key(task, address, is_private(call)), address);
    return verdict;
}

/* FUTEX_WAITERS was set, and perhaps lost again to an unlock. */
static void lock_is_marked(zt_pod *pod, zt_task *task, zt_call *call)
{
    uint32_t word;
    if (call->answer < 0 && !zt_call_interrupted(call->answer))
        return;
    if (call->answer >= 0 && !read_word(task, call->asked[0], &word))
        call->answer = -EFAULT;
    else if (call->answer >= 0 && word & FUTEX_WAITERS && !owner_in(word))
        call->answer = take(pod, task, call, word);
    else
        call->again = true;
}

static zt_verdict unlock_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const uint64_t address = call->asked[0];
    uint32_t word;
    if (address % sizeof word)
        return zt_hook_answer(call, -EINVAL);
    if (!read_word(task, address, &word))
        return zt_hook_answer(call, -EFAULT);
    if (owner_in(word) != (uint32_t)task->vtid.n)
        return zt_hook_answer(call, -EPERM);
    const zt_futex_key key = zt_pi_key(task, address, is_private(call));
    for (zt_task *next; (next = zt_pi_next(pod, &key));)
        if (zt_pi_grant(next, 0))
            return zt_hook_answer(call, 0);
    return zt_hook_answer(call, zt_pi_write(task, address, 0) ? 0 : -EFAULT);
}

/* The wait that stood in for the call is over, for whatever reason. */
static void wait_is_over(zt_task *task, zt_call *call)
{
    const bool moved_on = (call->asked[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_REQUEUE_PI && task->pi.wait == ZT_PI_LOCK;
    const bool granted = task->pi.granted;
    task->pi.wait = ZT_PI_NONE;
    task->pi.granted = false;
    if (granted)
        call->answer = 0;
    else if (call->answer == -ETIMEDOUT)
        return;
    else if (moved_on) /* it cannot be begun anew, and the kernel says so, too */
        call->answer = -EAGAIN;
    else
        call->again = true;
}

/* --- from one futex to another */

static zt_verdict wait_requeue_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const bool private = is_private(call);
    const zt_futex_key from = zt_pi_key(task, call->asked[0], private), to = zt_pi_key(task, call->asked[4], private);
    uint32_t word;
    if ((call->asked[0] | call->asked[4]) % sizeof word || zt_pi_same(&from, &to))
        return zt_hook_answer(call, -EINVAL);
    if (!read_word(task, call->asked[0], &word))
        return zt_hook_answer(call, -EFAULT);
    if (word != (uint32_t)call->asked[2])
        return zt_hook_answer(call, -EAGAIN);
    zt_verdict verdict = wait_here(pod, task, call, call->asked[1] & FUTEX_CLOCK_REALTIME);
    if (verdict == ZT_GO) {
        zt_pi_wait_for(pod, task, ZT_PI_REQUEUE, to, call->asked[4]);
        task->pi.from = from;
    }
    return verdict;
}

static zt_task *first_to_move(zt_pod *pod, const zt_futex_key *from)
{
    zt_task *first = NULL;
    for (zt_task *task = pod->tasks; task; task = task->next)
        if (task->pi.wait == ZT_PI_REQUEUE && zt_pi_same(&task->pi.from, from) &&
            (!first || task->pi.number < first->pi.number))
            first = task;
    return first;
}

/* FUTEX_WAITERS is set in the second futex: move waiters of the first there; one may have it at once. */
static int64_t move(zt_pod *pod, const zt_task *task, const zt_call *call, uint32_t word)
{
    const zt_futex_key from = zt_pi_key(task, call->asked[0], is_private(call));
    const zt_futex_key to = zt_pi_key(task, call->asked[4], is_private(call));
    const int64_t most = 1 + (int64_t)(int32_t)call->asked[3];
    int64_t moved = 0;
    bool is_free = !owner_in(word);
    if (!is_free && !zt_pi_owner(pod, word))
        return -ESRCH;
    for (zt_task *first; moved < most && (first = first_to_move(pod, &from)); moved++) {
        if (!zt_pi_same(&first->pi.key, &to))
            return moved ? moved : -EINVAL;
        first->pi.wait = ZT_PI_LOCK;
        if (is_free)
            is_free = !zt_pi_grant(first, word & FUTEX_OWNER_DIED);
    }
    return moved;
}

static zt_verdict requeue_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const bool private = is_private(call);
    const zt_futex_key from = zt_pi_key(task, call->asked[0], private), to = zt_pi_key(task, call->asked[4], private);
    uint32_t word, second;
    if ((call->asked[0] | call->asked[4]) % sizeof word || zt_pi_same(&from, &to) || (int32_t)call->asked[2] != 1 ||
        (int32_t)call->asked[3] < 0)
        return zt_hook_answer(call, -EINVAL);
    if (!read_word(task, call->asked[0], &word) || !read_word(task, call->asked[4], &second))
        return zt_hook_answer(call, -EFAULT);
    if (word != (uint32_t)call->asked[5])
        return zt_hook_answer(call, -EAGAIN);
    if (!first_to_move(pod, &from))
        return zt_hook_answer(call, 0);
    if (!(second & FUTEX_WAITERS))
        return set_waiters(task, call, call->asked[4]);
    return zt_hook_answer(call, move(pod, task, call, second));
}

/* --- the hooks */

zt_verdict zt_futex_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const int command = (int)call->asked[1] & FUTEX_CMD_MASK;
    switch (command) {
    case FUTEX_LOCK_PI:
    case LOCK_PI2_:
    case FUTEX_TRYLOCK_PI:
        return lock_enter(pod, task, call, command);
    case FUTEX_UNLOCK_PI:
        return unlock_enter(pod, task, call);
    case FUTEX_WAIT_REQUEUE_PI:
        return wait_requeue_enter(pod, task, call);
    case FUTEX_CMP_REQUEUE_PI:
        return requeue_enter(pod, task, call);
    default:
        return zt_hook_shift(task, call, 3, pod->clock_offset_ns);
    }
}

void zt_futex_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    if (!call->stands_in)
        return;
    if ((call->issued[1] & FUTEX_CMD_MASK) == FUTEX_WAIT_BITSET)
        wait_is_over(task, call);
    else if ((call->asked[1] & FUTEX_CMD_MASK) != FUTEX_CMP_REQUEUE_PI)
        lock_is_marked(pod, task, call);
    else if (call->answer >= 0 || zt_call_interrupted(call->answer))
        call->again = true; /* and finds the mark */
}

zt_verdict zt_futex_wait_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return call->asked[5] == CLOCK_MONOTONIC ? zt_hook_shift(task, call, 4, pod->clock_offset_ns) : ZT_GO;
}

zt_verdict zt_futex_waitv_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return call->asked[4] == CLOCK_MONOTONIC ? zt_hook_shift(task, call, 3, pod->clock_offset_ns) : ZT_GO;
}
