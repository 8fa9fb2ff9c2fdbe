/* The heir: a process that removes what outlives us, if we are killed.
 *
 * A semaphore set or a queue cannot be marked to go with its last user. So a process is told of each;
 * when the pipe by which it is told closes, it removes those that are left, and ends. It holds nothing
 * else of ours. Without it (no process to be had) what a killed supervisor leaves is left. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct zt_heir {
    pid_t pid; /* 0: there was no need of one yet; -1: there is none to be had */
    int pipe;
} zt_heir;

void zt_heir_tell(zt_heir *heir, int32_t kind, int32_t rid, bool there);
void zt_heir_dismiss(zt_heir *heir); /* nothing is left for it */
