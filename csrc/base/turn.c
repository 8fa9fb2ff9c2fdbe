#include "turn.h"

static bool is_kept_out(const zt_turn *turn, int who)
{
    return turn->taken || (turn->last == who && turn->waits[!who]);
}

void zt_turn_take(zt_turn *turn, int who)
{
    pthread_mutex_lock(&turn->mutex);
    turn->waits[who] = true;
    while (is_kept_out(turn, who))
        pthread_cond_wait(&turn->changed, &turn->mutex);
    turn->waits[who] = false;
    turn->taken = true;
    turn->last = who;
    pthread_mutex_unlock(&turn->mutex);
}

void zt_turn_give(zt_turn *turn)
{
    pthread_mutex_lock(&turn->mutex);
    turn->taken = false;
    if (turn->waits[ZT_TURN_TRACER] || turn->waits[ZT_TURN_LOOKER])
        pthread_cond_broadcast(&turn->changed);
    pthread_mutex_unlock(&turn->mutex);
}
