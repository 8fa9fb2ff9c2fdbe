/* Two threads that take turns at what both change. Whoever waits for his turn has it as soon as the other lets
 * go, however soon that wants it back. */
#pragma once
#include <pthread.h>
#include <stdbool.h>

enum { ZT_TURN_TRACER, ZT_TURN_LOOKER, ZT_TURNS };

typedef struct zt_turn {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    bool taken;
    int last; /* who had it */
    bool waits[ZT_TURNS];
} zt_turn;

#define ZT_TURN_INITIAL                                                                                                \
    (zt_turn)                                                                                                          \
    {                                                                                                                  \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER                                        \
    }

void zt_turn_take(zt_turn *turn, int who);
void zt_turn_give(zt_turn *turn);
