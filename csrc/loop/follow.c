#include "follow.h"

#include <sched.h>

#include "../base/proc.h"
#include "../pod/blocked/blocked.h"

/* A look costs as much as half a stop, and moving over as much as several. */
enum { STOPS = 16, LOOK_EVERY_NS = 1000000, PAUSE_NS = 10000000 };

static bool bind_to(zt_pod *pod, int32_t cpu)
{
    zt_follow_state *follow = &pod->follow;
    cpu_set_t one;
    if (follow->cpu < 0 && (sched_getaffinity(0, sizeof follow->own, &follow->own) || CPU_COUNT(&follow->own) < 2))
        return false;
    CPU_ZERO(&one);
    CPU_SET((size_t)cpu, &one);
    return CPU_ISSET((size_t)cpu, &follow->own) && !sched_setaffinity(0, sizeof one, &one);
}

void zt_loop_follow(zt_pod *pod, int32_t rtid)
{
    zt_follow_state *follow = &pod->follow;
    const int64_t now_ns = zt_now_ns();
    const bool after_pause = now_ns - follow->last_ns > PAUSE_NS;
    zt_proc_stat stat;
    follow->last_ns = now_ns;
    if (after_pause)
        zt_loop_follow_no_more(pod);
    if (++follow->stops < STOPS || now_ns - follow->looked_ns < LOOK_EVERY_NS)
        return;
    follow->stops = 0;
    follow->looked_ns = now_ns;
    if (!zt_proc_get_stat(rtid, &stat) || stat.cpu == follow->cpu)
        return;
    if (stat.cpu != follow->seen) { /* it may have been there by chance */
        follow->seen = stat.cpu;
        return;
    }
    if (bind_to(pod, stat.cpu))
        follow->cpu = stat.cpu;
}

void zt_loop_follow_no_more(zt_pod *pod)
{
    zt_follow_state *follow = &pod->follow;
    if (follow->cpu >= 0)
        sched_setaffinity(0, sizeof follow->own, &follow->own);
    follow->cpu = follow->seen = -1;
    follow->stops = 0;
}
