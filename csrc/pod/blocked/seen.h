/* What can be seen of a thread from outside, running or not: read from /proc. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The call that it is asleep in. False: it runs, or is in none. */
bool zt_seen_call(int32_t rtid, long *ret_nr, uint64_t ret_args[6]);

/* The kernel's function that it is asleep in. False: it runs, or this kernel does not tell. */
bool zt_seen_where(int32_t rtid, char *ret, size_t size);

/* When it left the processor (or came onto it), in ns of that processor's task clock; 0: this kernel
 * does not tell. */
int64_t zt_seen_exec_start(int32_t rtid);

/* For how long it has run, in ns; while it runs, as of the last tick. 0: this kernel does not tell. */
int64_t zt_seen_cpu_time(int32_t rtid);

/* The processor that it ran on last; -1: not known. */
int zt_seen_cpu(int32_t rtid);

/* Bit n-1 is signal n. */
typedef struct zt_signal_sets {
    uint64_t own, shared; /* pending */
    uint64_t blocked, ignored, caught;
} zt_signal_sets;
bool zt_seen_signals(int32_t rtid, zt_signal_sets *ret);

typedef struct zt_seen_fd {
    uint32_t type; /* S_IFMT of what it is of */
    uint32_t major, minor;
    int flags; /* O_* */
} zt_seen_fd;
bool zt_seen_descriptor(int32_t rtid, int fd, zt_seen_fd *ret);
