/* The looker's own thread: pod/looker.h. */
#include "../pod/looker.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../pod/seccomp.h"
#include "calls.h"

typedef union notification {
    struct seccomp_notif it;
    char room[ZT_LOOKER_MOST];
} notification;

typedef union answer {
    struct seccomp_notif_resp it;
    char room[ZT_LOOKER_MOST];
} answer;

static void look_at(zt_pod *pod, const struct seccomp_notif *asked, struct seccomp_notif_resp *ret)
{
    zt_task *task = zt_pod_task(pod, (int32_t)asked->pid);
    zt_call call = {.nr = asked->data.nr, .issued_nr = asked->data.nr, .ip = asked->data.instruction_pointer};
    zt_call_stops *count = zt_counts_of(&pod->counts, call.nr);
    ret->error = -ENOSYS;
    if (!task)
        return; /* it was killed meanwhile: nobody hears the answer */
    pod->counts.stops[ZT_COUNT_LOOKED]++;
    count->entered++;
    if (zt_seccomp_is_strict(pod, task)) {
        zt_seccomp_end_strict(task);
        return;
    }
    for (int i = 0; i < 6; i++)
        call.asked[i] = call.issued[i] = asked->data.args[i];
    if (zt_loop_decide(pod, task, zt_row_of(call.nr), &call) == ZT_GO) { /* the same ids: its row is_looked */
        ret->error = 0;
        ret->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        return;
    }
    count->answered++;
    ret->error = call.answer < 0 && call.answer >= -4095 ? (int32_t)call.answer : 0;
    ret->val = ret->error ? 0 : call.answer;
}

/* One that is received is always answered: a thread that waits for that hears of nothing but its end. */
static void receive(zt_pod *pod, int listener)
{
    notification asked;
    answer given;
    memset(&asked, 0, sizeof asked);
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &asked))
        return; /* who asked was interrupted, or has ended */
    memset(&given, 0, sizeof given);
    given.it.id = asked.it.id;
    look_at(pod, &asked.it, &given.it);
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &given);
}

static void forget(zt_looker *looker, int listener)
{
    for (int i = 0; i < looker->count; i++)
        if (looker->listeners[i] == listener)
            looker->listeners[i] = looker->listeners[--looker->count];
    close(listener);
}

/* What there is to wait for: the eventfd, and then the listeners. Without memory for that nobody would answer any
 * more: EXITKILL ends the pod with us. */
static struct pollfd *places_of(const zt_looker *looker, nfds_t *ret_count)
{
    struct pollfd *places = calloc((size_t)looker->count + 1, sizeof *places);
    if (!places)
        abort();
    *ret_count = (nfds_t)looker->count + 1;
    *places = (struct pollfd){.fd = looker->poke, .events = POLLIN};
    for (int i = 0; i < looker->count; i++)
        places[i + 1] = (struct pollfd){.fd = looker->listeners[i], .events = POLLIN};
    return places;
}

/* Until something is to be looked at anew. */
static void serve(zt_pod *pod, struct pollfd *places, nfds_t count)
{
    zt_turn *turn = &pod->looker.turn;
    eventfd_t unused;
    for (;;) {
        if (poll(places, count, -1) < 0) {
            if (errno == EINTR)
                continue;
            abort();
        }
        bool anew = places->revents;
        if (anew)
            eventfd_read(places->fd, &unused);
        for (nfds_t i = 1; i < count; i++) {
            if (!places[i].revents)
                continue;
            zt_turn_take(turn, ZT_TURN_LOOKER);
            if (places[i].revents & POLLIN) {
                receive(pod, places[i].fd);
            } else { /* nobody is left who has its filter */
                forget(&pod->looker, places[i].fd);
                anew = true;
            }
            zt_turn_give(turn);
        }
        if (anew)
            return;
    }
}

void zt_loop_look(zt_pod *pod)
{
    sigset_t all;
    nfds_t count;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL); /* this thread's */
    for (bool ends = false; !ends;) {
        zt_turn_take(&pod->looker.turn, ZT_TURN_LOOKER);
        struct pollfd *places = places_of(&pod->looker, &count);
        ends = pod->looker.ends;
        zt_turn_give(&pod->looker.turn);
        if (!ends)
            serve(pod, places, count);
        free(places);
    }
}

int zt_loop_look_begin(zt_pod *pod)
{
    if (!zt_looker_is_possible() || zt_looker_prepare(&pod->looker))
        return 0;
    pod->looker.begun = true;
    zt_turn_take(&pod->looker.turn, ZT_TURN_TRACER);
    return 1;
}

void zt_loop_look_end(zt_pod *pod)
{
    pod->looker.ends = true;
    eventfd_write(pod->looker.poke, 1);
    zt_turn_give(&pod->looker.turn);
    pod->looker.begun = false;
}
