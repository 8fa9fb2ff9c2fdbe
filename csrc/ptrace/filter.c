#include "filter.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "zt_filter.h"

#define PROGRAM(filter) {sizeof(filter) / sizeof *(filter), (struct sock_filter *)(filter)}
static const struct sock_fprog FRESH = PROGRAM(zt_filter_fresh), MOVED = PROGRAM(zt_filter_moved),
                               FRESH_LOOKED = PROGRAM(zt_filter_fresh_looked),
                               MOVED_LOOKED = PROGRAM(zt_filter_moved_looked), SENDERS = PROGRAM(zt_filter_senders),
                               ADDRESSES = PROGRAM(zt_filter_addresses), KEPT = PROGRAM(zt_filter_kept),
                               DETACHED = PROGRAM(zt_filter_detached);

const struct sock_fprog *zt_filter_of_senders(void)
{
    return &SENDERS;
}

const struct sock_fprog *zt_filter_of_kept(void)
{
    return &KEPT;
}

static int put_on(const struct sock_fprog *filter)
{
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter);
}

/* Load a word, or the half of a longer one. */
#define LOAD(field, half) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field) + 4 * (half))
#define COMPARE(how, with, yes, no) BPF_JUMP(BPF_JMP | (how), with, yes, no)

/* Who calls is told by where it calls from, and by what the wrapper has in its third argument register, which
 * clone3 has no use for: the function that the child is to run. */
static int answer_thread_maker(const zt_thread_maker *maker)
{
    enum { LOW = 0, HIGH = 1, PAGE = 4096, CLONE_ARGS = 88 };
    const struct sock_filter filter[] = {
        LOAD(nr, LOW),
        COMPARE(BPF_JEQ | BPF_K, (uint32_t)zt_arch_nr(ZT_NR_CLONE3), 0, 16),
        LOAD(args[1], LOW),
        COMPARE(BPF_JEQ | BPF_K, CLONE_ARGS, 0, 14),
        LOAD(instruction_pointer, LOW),
        BPF_STMT(BPF_ALU | BPF_AND | BPF_K, PAGE - 1),
        COMPARE(BPF_JEQ | BPF_K, maker->in_page, 0, 11),
        LOAD(instruction_pointer, HIGH),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        LOAD(args[2], HIGH),
        COMPARE(BPF_JEQ | BPF_X, 0, 0, 7),
        LOAD(instruction_pointer, LOW),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        LOAD(args[2], LOW),
        BPF_STMT(BPF_ALU | BPF_SUB | BPF_X, 0),
        BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, maker->to_functions),
        COMPARE(BPF_JGE | BPF_K, maker->size, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = PROGRAM(filter);
    return put_on(&program);
}

int zt_filter_put_on(bool moved, bool senders, bool addresses, bool kept, const zt_thread_maker *maker,
                     zt_filter_how how, int *ret_listener)
{
    *ret_listener = -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    if ((senders && put_on(&SENDERS)) || (addresses && put_on(&ADDRESSES)) ||
        (kept && put_on(&KEPT))) /* first: the other refuses more */
        return -1;
    if (maker->known && answer_thread_maker(maker))
        return -1;
    const struct sock_fprog *looked = moved ? &MOVED_LOOKED : &FRESH_LOOKED;
    if (how != ZT_FILTER_STOPS)
        *ret_listener = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, ZT_FILTER_LISTENS,
                                     how == ZT_FILTER_NOTIFIES ? &DETACHED : looked);
    return *ret_listener >= 0 ? 0 : put_on(moved ? &MOVED : &FRESH);
}
