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
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../base/wake.h"
#include "../pod/members.h"
#include "../pod/seccomp.h"
#include "../pod/shares.h"
#include "attach.h"
#include "calls.h"
#include "loop.h"

enum { SYS_landlock_restrict_self_ = 446 };

typedef union notification {
    struct seccomp_notif it;
    char room[ZT_LOOKER_MOST];
} notification;

typedef union answer {
    struct seccomp_notif_resp it;
    char room[ZT_LOOKER_MOST];
} answer;

/* For what has somebody to be attached, if for anything? */
static zt_taken wanted(const zt_pod *pod, const zt_task *task, const zt_row *row, const zt_call *call,
                       zt_verdict verdict)
{
    if (!pod->notified)
        return ZT_TAKEN_NOT; /* its row is_looked: the ids are the same, and nothing of it changes */
    if (verdict == ZT_ANSWERED)
        return pod->detaches && !zt_task_is_plain(pod, task) ? ZT_TAKEN_ANSWER : ZT_TAKEN_NOT;
    if (!zt_row_sees_exit(row, call, pod->moved))
        return ZT_TAKEN_NOT;
    return row->waits || zt_call_is_changed(call) ? ZT_TAKEN_ISSUE : ZT_TAKEN_END;
}

static bool is_exec(int32_t nr)
{
    return nr == SYS_execve || nr == SYS_execveat;
}

/* What a thread is by it, those that it shares with may be, and those that it makes: all are to be known. */
static bool is_of_all(const zt_call *call)
{
    return call->nr == SYS_seccomp || call->nr == SYS_landlock_restrict_self_ ||
           (call->nr == SYS_prctl && (call->asked[0] == PR_SET_SECCOMP || call->asked[0] == PR_SET_NO_NEW_PRIVS));
}

/* Is it the same whichever process makes it, so that we need not find out? */
static bool is_anybodys(const struct seccomp_notif *asked)
{
    const zt_row *row = zt_row_of(asked->data.nr);
    if (asked->data.nr == SYS_kill)
        return (int32_t)asked->data.args[0] != -1;
    return asked->data.nr == SYS_getppid || row->class == ZT_REFUSE || (row->class == ZT_TRANSLATE && !row->exit);
}

/* True: it is answered by *ret. False: it is handed over. */
static bool look_at(zt_pod *pod, int listener, const struct seccomp_notif *asked, struct seccomp_notif_resp *ret)
{
    zt_task *task = zt_pod_task(pod, (int32_t)asked->pid);
    zt_call call = {.nr = asked->data.nr, .issued_nr = asked->data.nr, .ip = asked->data.instruction_pointer};
    zt_call_stops *count = zt_counts_of(&pod->counts, call.nr);
    zt_process no_process = {
        .rpid = {(int32_t)asked->pid}, .vpid = {(int32_t)asked->pid}, .dumpable = 1, .ready = true};
    zt_task nobody = {
        .process = &no_process,
        .rtid = {(int32_t)asked->pid},
        .vtid = {(int32_t)asked->pid},
        .no_new_privs = pod->no_new_privs,
        .loose = true,
    };
    ret->error = -ENOSYS;
    if (!task && pod->detaches && is_anybodys(asked))
        task = &nobody;
    else if (!task && pod->notified && (task = zt_members_learn(pod, (int32_t)asked->pid)))
        task->loose = true;
    if (!task)
        return true; /* it was killed meanwhile: nobody hears the answer */
    pod->counts.stops[ZT_COUNT_LOOKED]++;
    count->entered++;
    if (zt_seccomp_is_strict(pod, task)) {
        zt_seccomp_end_strict(task);
        return true;
    }
    if (pod->notified && !task->process->ready) { /* what we have it do before it begins */
        ret->error = 0;
        ret->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        return true;
    }
    for (int i = 0; i < 6; i++)
        call.asked[i] = call.issued[i] = asked->data.args[i];
    const zt_row *row = zt_row_of(call.nr);
    const bool asks_to_be_traced = pod->detaches && call.nr == SYS_ptrace;
    const bool goes = is_exec(call.nr) || asks_to_be_traced;
    const zt_verdict verdict = goes ? ZT_GO : zt_loop_decide(pod, task, row, &call);
    zt_taken what = ZT_TAKEN_NOT;
    if (is_exec(call.nr))
        what = ZT_TAKEN_EXEC;
    else if (!asks_to_be_traced)
        what = wanted(pod, task, row, &call, verdict);
    else if (!task->loose)
        what = ZT_TAKEN_LEAVE;
    if (verdict == ZT_GO) {
        ret->error = 0;
        ret->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    } else {
        count->answered++;
        ret->error = call.answer < 0 && call.answer >= -4095 ? (int32_t)call.answer : 0;
        ret->val = ret->error ? 0 : call.answer;
    }
    if (what) {
        pod->wants_all = pod->wants_all || (pod->detaches && is_of_all(&call));
        task->call = call;
        task->row = row;
        zt_loop_hand_over(pod, task, what, listener, asked->id);
    } else if (task->loose && task != &nobody && !task->vfork_maker) {
        zt_pod_forget_task(pod, task);
    }
    return !what;
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
    if (look_at(pod, listener, &asked.it, &given.it))
        ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &given);
}

static void forget(zt_looker *looker, int listener)
{
    for (int i = 0; i < looker->count; i++)
        if (looker->listeners[i] == listener)
            looker->listeners[i] = looker->listeners[--looker->count];
    close(listener);
}

enum { FIRST_GUARDIAN = 1, FIRST_LISTENER = FIRST_GUARDIAN + ZT_GUARDIANS };

/* What there is to wait for: the eventfd, the guardians, and then the listeners. Without memory for that nobody would answer any
 * more: EXITKILL ends the pod with us. */
static struct pollfd *places_of(const zt_looker *looker, nfds_t *ret_count)
{
    *ret_count = (nfds_t)(FIRST_LISTENER + looker->count);
    struct pollfd *places = calloc(*ret_count, sizeof *places);
    if (!places)
        abort();
    *places = (struct pollfd){.fd = looker->poke, .events = POLLIN};
    for (int i = 0; i < ZT_GUARDIANS; i++)
        places[FIRST_GUARDIAN + i] = (struct pollfd){.fd = looker->guardians[i].pidfd, .events = POLLIN};
    for (int i = 0; i < looker->count; i++)
        places[FIRST_LISTENER + i] = (struct pollfd){.fd = looker->listeners[i], .events = POLLIN};
    return places;
}

/* A guardian was killed. So that we are the only ones left never comes to be, the pod ends. */
static void is_unguarded(zt_pod *pod, int pidfd)
{
    for (int i = 0; i < ZT_GUARDIANS; i++) {
        zt_guardian *guardian = &pod->looker.guardians[i];
        if (guardian->pidfd != pidfd)
            continue;
        waitpid(guardian->pid, NULL, __WALL);
        close(pidfd);
        guardian->pid = 0;
        guardian->pidfd = -1;
    }
    if (!pod->broken.kind)
        zt_fail(&pod->broken, ZT_ERR_STATE, 0, "a guardian of it was killed (csrc/pod/guardian.h)");
    zt_loop_wake(pod);
}

/* Until something is to be looked at anew. `wakes`: the tracer is to see that it was woken. */
static void serve(zt_pod *pod, struct pollfd *places, nfds_t count, bool *wakes)
{
    enum { AGAIN_MS = 1, REAP_EVERY_MS = 1000 };
    zt_turn *turn = &pod->looker.turn;
    eventfd_t unused;
    for (;;) {
        *wakes = *wakes && atomic_load(&pod->woken);
        const bool handed = atomic_load(&pod->looker.handed) || *wakes;
        if (handed) { /* again and again, as it may just be about to wait; not while it waits for one thread */
            zt_turn_take(turn, ZT_TURN_LOOKER);
            zt_wake(pod->tracer_tid);
            zt_turn_give(turn);
        }
        const int got = poll(places, count, handed ? AGAIN_MS : pod->notified ? REAP_EVERY_MS : -1);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            abort();
        }
        if (got == 0 && !handed) {
            zt_turn_take(turn, ZT_TURN_LOOKER);
            zt_members_reap(pod);
            zt_turn_give(turn);
        }
        bool anew = places->revents;
        if (anew)
            eventfd_read(places->fd, &unused);
        for (nfds_t i = FIRST_GUARDIAN; i < count; i++) {
            if (!places[i].revents)
                continue;
            zt_turn_take(turn, ZT_TURN_LOOKER);
            if (i < FIRST_LISTENER) {
                is_unguarded(pod, places[i].fd);
                anew = *wakes = true;
            } else if (places[i].revents & POLLIN) {
                receive(pod, places[i].fd);
            } else { /* nobody is left who has its filter */
                forget(&pod->looker, places[i].fd);
                *wakes = pod->notified; /* nobody may be left at all */
                if (*wakes)
                    zt_loop_wake(pod);
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
    bool wakes = false;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL); /* this thread's */
    for (bool ends = false; !ends;) {
        zt_turn_take(&pod->looker.turn, ZT_TURN_LOOKER);
        struct pollfd *places = places_of(&pod->looker, &count);
        ends = pod->looker.ends;
        zt_turn_give(&pod->looker.turn);
        if (!ends)
            serve(pod, places, count, &wakes);
        free(places);
    }
}

/* A guardian that is no ancestor of the pod is to find all of it. */
int zt_loop_detach(zt_pod *pod)
{
    if (pod->moved || pod->cpu_level || !pod->looker.begun || !zt_shares_are_told() || !zt_proc_is_open())
        return 0;
    syscall(SYS_getrandom, &pod->host.mark, sizeof pod->host.mark, GRND_NONBLOCK); /* glibc has it from 2.25 on */
    pod->host.mark |= 1;
    if (zt_guardians_begin(pod->looker.guardians, pod->host.mark)) {
        pod->host.mark = 0;
        return 0;
    }
    eventfd_write(pod->looker.poke, 1);
    pod->detaches = pod->notified = true;
    return 1;
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
