#include "guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../ptrace/stub.h"

enum { STACK = 64 << 10, TOLD_BY = SIGUSR1 };

/* --- in a guardian: a copy of a process with threads, so only async-signal-safe calls */

enum { MOST_SESSIONS = 1024 };

typedef struct duty {
    uint64_t mark;
    pid_t supervisor;
    int proc;
    int32_t *sessions; /* all that were seen */
    int count;
} duty;

static bool is_of_the_pod(const duty *duty, int32_t session)
{
    for (int i = 0; i < duty->count; i++)
        if (duty->sessions[i] == session)
            return true;
    return false;
}

static int note_session(void *context, int32_t rpid)
{
    duty *duty = context;
    if (zt_stub_mark(rpid) != duty->mark)
        return 0;
    const int32_t session = getsid(rpid);
    if (session > 0 && duty->count < MOST_SESSIONS && !is_of_the_pod(duty, session))
        duty->sessions[duty->count++] = session;
    return 1;
}

static int end_one(void *context, int32_t rpid)
{
    const duty *duty = context;
    const uint64_t mark = zt_stub_mark(rpid);
    const bool has_no_mark = !mark && is_of_the_pod(duty, getsid(rpid)) && !zt_proc_has_ended(rpid);
    return (mark == duty->mark || has_no_mark) && !kill(rpid, SIGKILL);
}

/* Whoever was born while we looked has a mark, too, and is found when we look again: also one whose end is under
 * way is found, until it has let go of its memory. */
static void end_all(duty *duty)
{
    enum { LOOKS_THAT_FIND_NONE = 3 };
    const struct timespec nap = {0, 500000};
    for (int none = 0; none < LOOKS_THAT_FIND_NONE;) {
        zt_proc_each(duty->proc, note_session, duty); /* before any of them is gone */
        none = zt_proc_each(duty->proc, end_one, duty) ? 0 : none + 1;
        nanosleep(&nap, NULL);
    }
}

static int guard(void *context)
{
    int32_t sessions[MOST_SESSIONS];
    duty *duty = context;
    sigset_t told;
    duty->sessions = sessions;
    sigemptyset(&told);
    sigaddset(&told, TOLD_BY);
    prctl(PR_SET_NAME, "zaptrace-guard");
    prctl(PR_SET_PDEATHSIG, TOLD_BY);
    while (getppid() == duty->supervisor) /* anybody may send the signal */
        sigwaitinfo(&told, NULL);
    end_all(duty);
    syscall(SYS_exit_group, 0);
    return 0;
}

/* --- in the supervisor */

void zt_guardians_create(zt_guardian guardians[ZT_GUARDIANS])
{
    for (int i = 0; i < ZT_GUARDIANS; i++)
        guardians[i] = (zt_guardian){.pidfd = -1, .proc = -1};
}

void zt_guardians_destroy(zt_guardian guardians[ZT_GUARDIANS])
{
    for (int i = 0; i < ZT_GUARDIANS; i++) {
        if (guardians[i].pid > 0) {
            kill(guardians[i].pid, SIGKILL);
            while (waitpid(guardians[i].pid, NULL, __WALL) < 0 && errno == EINTR)
                ;
        }
        if (guardians[i].pidfd >= 0)
            close(guardians[i].pidfd);
        if (guardians[i].proc >= 0)
            close(guardians[i].proc);
    }
    zt_guardians_create(guardians);
}

/* All signals are blocked in it. */
static int begin(zt_guardian *guardian, uint64_t mark, void *stack)
{
    sigset_t all, before;
    guardian->proc = zt_proc_open_all();
    if (guardian->proc < 0)
        return -1;
    duty duty = {.mark = mark, .supervisor = getpid(), .proc = guardian->proc};
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    guardian->pid = clone(guard, (char *)stack + STACK, CLONE_FILES | CLONE_FS, &duty);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (guardian->pid <= 0)
        return -1;
    guardian->pidfd = (int)syscall(SYS_pidfd_open, guardian->pid, 0);
    return guardian->pidfd < 0 ? -1 : 0;
}

int zt_guardians_begin(zt_guardian guardians[ZT_GUARDIANS], uint64_t mark)
{
    bool failed = false;
    void *stack = aligned_alloc(64, STACK); /* each has a copy of its own */
    for (int i = 0; i < ZT_GUARDIANS && stack && !failed; i++)
        failed = begin(&guardians[i], mark, stack);
    free(stack);
    if (stack && !failed)
        return 0;
    zt_guardians_destroy(guardians);
    return -1;
}
