/* The seccomp filter of a pod's processes, generated from csrc/syscalls.py. */
#pragma once
#include <stdbool.h>

#include "thread_maker.h"

struct sock_fprog;

/* What a stop by it tells (PTRACE_GETEVENTMSG), to know it from one by a program's own filter. */
#define ZT_FILTER_TRACES 0x7a74

/* How one is put on that tells of calls by a listener (pod/looker.h). From when it has received what it is told
 * until it has answered, nothing but a kill ends the call: Linux 5.19. Without that a signal would end calls that
 * are done already, and a freeze would. */
#define ZT_FILTER_LISTENS (1ul << 3 | 1ul << 5) /* SECCOMP_FILTER_FLAG_NEW_LISTENER and _WAIT_KILLABLE_RECV */

typedef enum zt_filter_how {
    ZT_FILTER_STOPS,    /* all that is of interest stops */
    ZT_FILTER_LOOKS,    /* what is looked at comes by the listener */
    ZT_FILTER_NOTIFIES, /* all comes by the listener; in a pod that never moved */
} zt_filter_how;

/* Put it on the calling thread, for good. Async-signal-safe. 0, or -1 with errno. With a listener *ret_listener is
 * that; or -1, if there can be none: then all that is to be looked at stops.
 *
 * clone3 as the C library makes threads by it is told that this kernel has none, so that it is made by
 * clone(2), whose flags the filter sees: no stop. Whoever else calls clone3, for a cgroup or a number to
 * choose, may know no other way: that is looked at. */
int zt_filter_put_on(bool moved, bool senders, bool addresses, bool kept, const zt_thread_maker *maker,
                     zt_filter_how how, int *ret_listener);
/* Those that come on top: where senders are shown, and where connections are kept that wait to be accepted. */
const struct sock_fprog *zt_filter_of_senders(void);
const struct sock_fprog *zt_filter_of_kept(void);
