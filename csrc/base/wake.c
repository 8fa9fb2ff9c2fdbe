#include "wake.h"

#include <sys/syscall.h>
#include <unistd.h>

#ifndef sigev_notify_thread_id /* musl and newer glibc have it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* The timers are the kernel's own: those of glibc have been in another library, under another
 * version, and would keep us from hosts with an older one. */

static void on_wake(int signal)
{
    (void)signal;
}

void zt_wake_prepare(void)
{
    struct sigaction wake = {.sa_handler = on_wake}; /* no SA_RESTART: it is there to interrupt */
    sigaction(ZT_WAKE_SIGNAL, &wake, NULL);
}

void zt_wake(int32_t tid)
{
    syscall(SYS_tgkill, getpid(), tid, ZT_WAKE_SIGNAL);
}

bool zt_ticks_start(zt_ticks *ticks, int32_t every_ms)
{
    const struct timespec span = {every_ms / 1000, every_ms % 1000 * 1000000l};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = ZT_WAKE_SIGNAL};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    ticks->running = !syscall(SYS_timer_create, CLOCK_MONOTONIC, &event, &ticks->timer);
    if (ticks->running)
        syscall(SYS_timer_settime, ticks->timer, 0, &(struct itimerspec){span, span}, NULL);
    return ticks->running;
}

void zt_ticks_stop(zt_ticks *ticks)
{
    if (ticks->running)
        syscall(SYS_timer_delete, ticks->timer);
    ticks->running = false;
}
