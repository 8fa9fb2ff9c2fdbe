#include "heir.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../base/proc.h"
#include "kernel.h"

typedef struct legacy {
    int32_t kind, rid, there;
} legacy;

enum { MOST = 1 << 16 }; /* no host has more */

static void take_note(legacy *held, uint32_t *count, const legacy *one)
{
    if (one->there && *count < MOST) {
        held[(*count)++] = *one;
        return;
    }
    for (uint32_t i = 0; i < *count; i++)
        if (held[i].kind == one->kind && held[i].rid == one->rid) {
            held[i] = held[--*count];
            return;
        }
}

/* In a process of its own, forked from one with threads: only what may be called there. */
_Noreturn static void wait_for_the_end(int pipe, legacy *held)
{
    uint32_t count = 0;
    legacy one;
    if (dup2(pipe, 0) < 0)
        _exit(1);
    zt_proc_close_all(1, -1);
    prctl(PR_SET_NAME, "zaptrace-heir");
    while (read(0, &one, sizeof one) == sizeof one) /* writes of this size are not divided: pipe(7) */
        take_note(held, &count, &one);
    for (uint32_t i = 0; i < count; i++)
        zt_ipc_control(held[i].kind, held[i].rid, IPC_RMID, NULL);
    _exit(0);
}

static void make_heir(zt_heir *heir)
{
    int ends[2];
    sigset_t all, before;
    heir->pid = -1;
    legacy *held = mmap(NULL, MOST * sizeof *held, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (held == MAP_FAILED)
        return;
    if (!pipe2(ends, O_CLOEXEC)) {
        sigfillset(&all); /* what is sent to our group is not meant for it */
        sigprocmask(SIG_SETMASK, &all, &before); /* this thread's, as pthread_sigmask, which old glibc has elsewhere */
        heir->pid = fork();
        if (!heir->pid)
            wait_for_the_end(ends[0], held);
        sigprocmask(SIG_SETMASK, &before, NULL);
        close(ends[0]);
        heir->pipe = ends[1];
        if (heir->pid < 0)
            close(ends[1]);
    }
    munmap(held, MOST * sizeof *held);
}

/* Whoever closes the pod wakes this thread meanwhile, again and again (zt_loop_wake). */
static void await_end(pid_t pid)
{
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
}

void zt_heir_tell(zt_heir *heir, int32_t kind, int32_t rid, bool there)
{
    const legacy one = {kind, rid, there};
    if (!heir->pid && there)
        make_heir(heir);
    if (heir->pid > 0 && write(heir->pipe, &one, sizeof one) != sizeof one) {
        close(heir->pipe); /* somebody has ended it */
        await_end(heir->pid);
        heir->pid = -1;
    }
}

void zt_heir_dismiss(zt_heir *heir)
{
    if (heir->pid > 0) {
        close(heir->pipe);
        kill(heir->pid, SIGCONT); /* somebody may have stopped it */
        await_end(heir->pid);
    }
    heir->pid = 0;
}
