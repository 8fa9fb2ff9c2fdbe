/* What ends a wait of the tracer thread from outside: a signal that carries nothing else. */
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#define ZT_WAKE_SIGNAL (SIGRTMIN + 7)

/* Have the signal interrupt calls, and do no more; for the whole process. */
void zt_wake_prepare(void);
void zt_wake(int32_t tid);

/* A timer that wakes the calling thread again and again, so that no wait is without an end. */
typedef struct zt_ticks {
    bool running;
    int32_t timer; /* the kernel's number */
} zt_ticks;
bool zt_ticks_start(zt_ticks *ticks, int32_t every_ms); /* false: the kernel has no timer for us */
void zt_ticks_stop(zt_ticks *ticks);
