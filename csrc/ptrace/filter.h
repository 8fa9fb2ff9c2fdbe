/* The seccomp filter of a pod's processes, generated from csrc/syscalls.py. */
#pragma once
#include <stdbool.h>

/* Put it on the calling thread, for good. Async-signal-safe. 0, or -1 with errno. */
int zt_filter_put_on(bool moved);
