/* The tracer runs where those run who stop for it.
 *
 * Left alone, the scheduler wakes it on an idle processor, and the thread that stopped, when it is let go, on one
 * that has become idle meanwhile: an idle processor takes several times as long to wake up, twice for each stop,
 * as all of what is done at it. On the same processor one switches to the other. So while stops come one after
 * the other, the tracer's thread is bound to the processor that their threads are on; when they cease, it is free
 * again, and so it is whenever it does anything else, as what is forked inherits it. */
#pragma once
#include "../pod/pod.h"

/* A thread has stopped, and was waited for. */
void zt_loop_follow(zt_pod *pod, int32_t rtid);
/* It does something else now. */
void zt_loop_follow_no_more(zt_pod *pod);
