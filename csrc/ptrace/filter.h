/* The seccomp filter of a pod's processes, generated from csrc/syscalls.py. */
#pragma once
#include <stdbool.h>

struct sock_fprog;

/* What a stop by it tells (PTRACE_GETEVENTMSG), to know it from one by a program's own filter. */
#define ZT_FILTER_TRACES 0x7a74

/* Put it on the calling thread, for good. Async-signal-safe. 0, or -1 with errno. */
int zt_filter_put_on(bool moved, bool senders, bool addresses);
/* The one that comes on top where senders are shown. */
const struct sock_fprog *zt_filter_of_senders(void);
