#include "filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "zt_filter.h"

#define PROGRAM(filter) {sizeof(filter) / sizeof *(filter), (struct sock_filter *)(filter)}
static const struct sock_fprog FRESH = PROGRAM(zt_filter_fresh), MOVED = PROGRAM(zt_filter_moved),
                               SENDERS = PROGRAM(zt_filter_senders), ADDRESSES = PROGRAM(zt_filter_addresses);

const struct sock_fprog *zt_filter_of_senders(void)
{
    return &SENDERS;
}

static int put_on(const struct sock_fprog *filter)
{
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, filter);
}

int zt_filter_put_on(bool moved, bool senders, bool addresses)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    if ((senders && put_on(&SENDERS)) || (addresses && put_on(&ADDRESSES))) /* first: the other refuses more */
        return -1;
    return put_on(moved ? &MOVED : &FRESH);
}
