#include "seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../ptrace/filter.h"
#include "../ptrace/mem.h"

typedef struct sock_filter insn;

enum { MOST = BPF_MAXINSNS };

#define OFFSET(member) (uint32_t)offsetof(struct seccomp_data, member)
#define LOW(value) (uint32_t)(value)
#define HIGH(value) (uint32_t)((uint64_t)(value) >> 32)
#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define IF(test, value, yes, no) BPF_JUMP(BPF_JMP | test | BPF_K, value, yes, no)

/* From the interpreter or issued by us; or the mapping of a stub, which a new program makes elsewhere. A
 * program of its own finds the registers of BPF as they begin. */
static const insn PREAMBLE[] = {
    LOAD(OFFSET(instruction_pointer) + 4),
    IF(BPF_JEQ, HIGH(ZT_STUB_BASE), 0, 3),
    LOAD(OFFSET(instruction_pointer)),
    IF(BPF_JGE, LOW(ZT_STUB_INTERPRETER), 0, 1),
    IF(BPF_JGT, LOW(ZT_STUB_ISSUED), 0, 6),
    LOAD(OFFSET(nr)),
    IF(BPF_JEQ, SYS_mmap, 0, 5),
    LOAD(OFFSET(args[0])),
    IF(BPF_JEQ, LOW(ZT_STUB_BASE), 0, 3),
    LOAD(OFFSET(args[0]) + 4),
    IF(BPF_JEQ, HIGH(ZT_STUB_BASE), 0, 1),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT(BPF_LD | BPF_IMM, 0),
};
enum { PREAMBLE_SIZE = sizeof PREAMBLE / sizeof *PREAMBLE };

/* The kernel ends a thread in strict mode by SIGKILL, and no verdict of a filter does that. */
enum { STRICT = 0x7a53 };
static const insn STRICT_MODE[] = {
    LOAD(OFFSET(nr)),
    IF(BPF_JEQ, SYS_read, 4, 0),
    IF(BPF_JEQ, SYS_write, 3, 0),
    IF(BPF_JEQ, SYS_exit, 2, 0),
    IF(BPF_JEQ, SYS_rt_sigreturn, 1, 0),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | STRICT),
    BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

int32_t zt_seccomp_preamble(void *ret, int32_t capacity)
{
    if ((int32_t)sizeof PREAMBLE <= capacity)
        memcpy(ret, PREAMBLE, sizeof PREAMBLE);
    return sizeof PREAMBLE;
}

/* --- what is kept */

static const zt_seccomp_kept *kept(zt_pod *pod, int32_t number)
{
    const zt_stored *stored = zt_store_get(&pod->store, ZT_SECCOMP_ROOM, &number, sizeof number);
    return stored && stored->value_size >= sizeof(zt_seccomp_kept) ? (const void *)stored->value : NULL;
}

static int32_t number_of(const zt_stored *stored)
{
    int32_t number = 0;
    if (strcmp(stored->room, ZT_SECCOMP_ROOM) == 0 && stored->key_size == sizeof number)
        memcpy(&number, stored->key, sizeof number);
    return number;
}

/* Those that no thread has any more: a pod may run any number of programs in sandboxes. */
static void sweep(zt_pod *pod)
{
    enum { SPARE = 64 };
    zt_intmap had;
    if (pod->filters < pod->sweep_filters_at || zt_intmap_create(&had))
        return;
    bool complete = true;
    for (const zt_task *task = pod->tasks; task; task = task->next)
        for (const int32_t *top = &task->filter; top; top = top == &task->filter ? &task->next_filter : NULL)
            for (int32_t n = *top; n && !zt_intmap_get(&had, n);) {
                const zt_seccomp_kept *filter = kept(pod, n);
                complete = complete && !zt_intmap_put(&had, n, 1);
                n = complete && filter ? filter->below : 0;
            }
    const zt_stored *next = zt_store_next(&pod->store, NULL);
    while (complete && next) {
        const int32_t number = number_of(next);
        next = zt_store_next(&pod->store, next);
        if (number && !zt_intmap_get(&had, number)) {
            zt_store_remove(&pod->store, ZT_SECCOMP_ROOM, &number, sizeof number);
            pod->filters--;
        }
    }
    zt_intmap_destroy(&had);
    pod->sweep_filters_at = pod->filters * 2 + SPARE;
}

bool zt_seccomp_are_there(zt_pod *pod)
{
    if (!pod->last_filter)
        for (const zt_stored *each = zt_store_next(&pod->store, NULL); each; each = zt_store_next(&pod->store, each)) {
            const int32_t number = number_of(each);
            pod->filters += number != 0;
            pod->last_filter = number > pod->last_filter ? number : pod->last_filter;
        }
    return pod->last_filter;
}

static int32_t next_number(zt_pod *pod)
{
    zt_seccomp_are_there(pod);
    return ++pod->last_filter;
}

static int keep(zt_pod *pod, zt_task *task, uint32_t flags, const insn *program, uint32_t count)
{
    struct {
        zt_seccomp_kept head;
        insn program[MOST];
    } value = {.head = {task->filter, flags}};
    const uint32_t size = count * (uint32_t)sizeof *program;
    const int32_t number = next_number(pod);
    memcpy(value.program, program, size);
    sweep(pod);
    int failed =
        zt_store_put(&pod->store, ZT_SECCOMP_ROOM, &number, sizeof number, &value, (uint32_t)sizeof value.head + size);
    if (failed)
        return failed;
    pod->filters++;
    task->next_filter = number;
    return 0;
}

/* --- putting it on */

/* Where a program lies for the kernel to read it: in the stub's data, from which nothing is run now. */
enum { PLACE = 0x9000, PLACES = ZT_STUB_DATA_SIZE / PLACE };

typedef struct placed {
    struct sock_fprog head;
    insn program[MOST];
} placed;
_Static_assert(sizeof(placed) <= PLACE, "a program and its head fit into a place");

static bool is_taken(const zt_pod *pod, const zt_task *task, uint64_t place)
{
    for (const zt_task *other = pod->tasks; other; other = other->next)
        if (other != task && other->next_filter && other->shares.memory == task->shares.memory &&
            (other->call.issued[1] == place || other->call.issued[2] == place))
            return true;
    return false;
}

static zt_verdict put_on(zt_pod *pod, zt_task *task, zt_call *call, int at, uint32_t flags, const insn *program,
                         uint32_t count)
{
    placed it;
    uint64_t place = ZT_STUB_DATA;
    for (int i = 0; i < PLACES && is_taken(pod, task, place); i++)
        place += PLACE;
    call->answer = -ENOMEM; /* as for one that is too long with those that are there */
    if (place == ZT_STUB_DATA + (uint64_t)PLACES * PLACE || PREAMBLE_SIZE + count > MOST)
        return ZT_ANSWERED;
    if (keep(pod, task, flags, program, count))
        return ZT_ANSWERED;
    it.head = (struct sock_fprog){(unsigned short)(PREAMBLE_SIZE + count), (insn *)(place + offsetof(placed, program))};
    memcpy(it.program, PREAMBLE, sizeof PREAMBLE);
    memcpy(it.program + PREAMBLE_SIZE, program, count * sizeof *program);
    const uint64_t size = offsetof(placed, program) + it.head.len * sizeof *program;
    if (zt_mem_write(task->rtid.n, place, &it, size) != (int64_t)size) {
        zt_seccomp_noted(pod, task, call);
        return ZT_ANSWERED;
    }
    call->issued[at] = place;
    return ZT_GO;
}

static bool may_filter(const zt_task *task)
{
    enum { CAP_SYS_ADMIN_ = 21 };
    char status[4096];
    unsigned long long capabilities;
    if (task->no_new_privs)
        return true;
    if (zt_proc_read(task->rtid.n, "status", status, sizeof status))
        return false;
    const char *at = zt_proc_value(status, "CapEff");
    return at && sscanf(at, "%llx", &capabilities) == 1 && capabilities >> CAP_SYS_ADMIN_ & 1;
}

zt_verdict zt_seccomp_strict(zt_pod *pod, zt_task *task, zt_call *call, int at)
{
    call->answer = -EINVAL;
    if (task->filter) /* a mode cannot be changed */
        return ZT_ANSWERED;
    return put_on(pod, task, call, at, 0, STRICT_MODE, sizeof STRICT_MODE / sizeof *STRICT_MODE);
}

/* Without a tracer to be told, the kernel skips a call that is to be traced, and answers ENOSYS. Where it finds us,
 * that has to be asked for; and it counts more than what we look at ourselves (seccomp(2), "precedence"). */
static void answer_what_it_traces(insn *program, uint32_t count)
{
    for (insn *each = program; each < program + count; each++)
        if (each->code == (BPF_RET | BPF_K) && (each->k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_TRACE)
            each->k = SECCOMP_RET_ERRNO | ENOSYS;
}

zt_verdict zt_seccomp_filter(zt_pod *pod, zt_task *task, zt_call *call, int at, uint64_t flags)
{
    /* A listener's descriptor could not be carried: it seems to be unknown here, as before Linux 5.0. */
    const uint64_t known = SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW |
                           SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    struct sock_fprog asked;
    insn program[MOST];
    call->answer = -EINVAL;
    if ((uint32_t)flags & ~known)
        return ZT_ANSWERED;
    call->answer = -EFAULT;
    if (zt_mem_read(task->rtid.n, call->asked[at], &asked, sizeof asked) != sizeof asked)
        return ZT_ANSWERED;
    call->answer = -EINVAL;
    if (!asked.len || asked.len > MOST)
        return ZT_ANSWERED;
    call->answer = -EACCES;
    if (!may_filter(task))
        return ZT_ANSWERED;
    call->answer = -EINVAL;
    if (!asked.filter)
        return ZT_ANSWERED;
    const uint64_t size = asked.len * sizeof *program;
    call->answer = -EFAULT;
    if (zt_mem_read(task->rtid.n, (uint64_t)asked.filter, program, size) != (int64_t)size)
        return ZT_ANSWERED;
    answer_what_it_traces(program, asked.len);
    return put_on(pod, task, call, at, (uint32_t)flags, program, asked.len);
}

void zt_seccomp_noted(zt_pod *pod, zt_task *task, zt_call *call)
{
    const int32_t number = task->next_filter;
    if (!number)
        return;
    task->next_filter = 0;
    if (call->answer) {
        zt_store_remove(&pod->store, ZT_SECCOMP_ROOM, &number, sizeof number);
        pod->filters--;
        if (call->answer > 0) /* of SECCOMP_FILTER_FLAG_TSYNC: a thread that cannot have it */
            call->answer = zt_pod_virtual(pod, (int32_t)call->answer).n;
        return;
    }
    const bool all = kept(pod, number)->flags & SECCOMP_FILTER_FLAG_TSYNC;
    for (zt_task *other = pod->tasks; other; other = other->next)
        if (other == task || (all && other->process == task->process)) {
            other->filter = number;
            other->no_new_privs = other->no_new_privs || task->no_new_privs;
        }
}

void zt_seccomp_inherit(zt_task *task, const zt_task *maker)
{
    task->filter = maker->filter;
    task->no_new_privs = maker->no_new_privs;
}

/* --- what it does */

bool zt_seccomp_stopped(zt_task *task, unsigned long message, zt_regs *regs)
{
    if (message == ZT_FILTER_TRACES)
        return false;
    if (message != STRICT) {
        zt_arch_skip_call(regs);
        zt_arch_set_result(regs, -ENOSYS);
    } else if (task->process->threads == 1) {
        zt_arch_skip_call(regs);
        kill(task->process->rpid.n, SIGKILL);
    } else { /* it alone */
        const uint64_t args[6] = {SIGKILL};
        zt_arch_set_call_nr(regs, SYS_exit);
        zt_arch_set_args(regs, args);
        regs->rip = ZT_STUB_ISSUED;
    }
    return true;
}

bool zt_seccomp_is_strict(zt_pod *pod, const zt_task *task)
{
    const int32_t number = task->filter;
    const zt_stored *stored = number > 0 ? zt_store_get(&pod->store, ZT_SECCOMP_ROOM, &number, sizeof number) : NULL;
    return stored && stored->value_size == sizeof(zt_seccomp_kept) + sizeof STRICT_MODE &&
           memcmp(stored->value + sizeof(zt_seccomp_kept), STRICT_MODE, sizeof STRICT_MODE) == 0;
}

void zt_seccomp_end_strict(zt_task *task)
{
    const int32_t rpid = task->process->rpid.n;
    if (task->process->threads == 1) {
        kill(rpid, SIGKILL);
        return;
    }
    task->ends_alone = true;
    syscall(SYS_tgkill, rpid, task->rtid.n, SIGSTOP); /* nobody can block it: its thread stops, for us */
}

/* Right behind the call that it has made: that is made to be exit(2), which strict mode allows. */
int zt_seccomp_end_alone(zt_task *task, zt_err *err)
{
    const uint64_t args[6] = {SIGKILL};
    zt_regs regs;
    if (zt_stopped_get_regs(zt_task_stopped(task), &regs, err))
        return -1;
    zt_arch_enter_call(&regs, regs.rip - ZT_ARCH_SYSCALL_BYTES, SYS_exit, args);
    return zt_stopped_set_regs(zt_task_stopped(task), &regs, err);
}
