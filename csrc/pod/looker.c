#include "looker.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../ptrace/filter.h"

void zt_looker_create(zt_looker *looker)
{
    *looker = (zt_looker){.turn = ZT_TURN_INITIAL, .poke = -1};
    zt_guardians_create(looker->guardians);
}

void zt_looker_destroy(zt_looker *looker)
{
    zt_guardians_destroy(looker->guardians);
    if (looker->holder > 0) {
        kill(looker->holder, SIGKILL);
        while (waitpid(looker->holder, NULL, __WALL) < 0 && errno == EINTR)
            ;
    }
    free(looker->stack);
    for (int i = 0; i < looker->count; i++)
        close(looker->listeners[i]);
    free(looker->listeners);
    if (looker->poke >= 0)
        close(looker->poke);
}

bool zt_looker_is_possible(void)
{
    struct seccomp_notif_sizes sizes;
    /* The kernel looks at the flags before it looks at the program, of which there is none. */
    return syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == 0 && sizes.seccomp_notif <= ZT_LOOKER_MOST &&
           sizes.seccomp_notif_resp <= ZT_LOOKER_MOST &&
           syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, ZT_FILTER_LISTENS, NULL) < 0 && errno == EFAULT;
}

/* In our memory, with the tracer's thread-local storage, beside it: calls that cannot fail, and nothing else. */
static int hold(void *supervisor)
{
    prctl(PR_SET_NAME, "zaptrace-holder");
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != (pid_t)(intptr_t)supervisor) /* it ended before that */
        syscall(SYS_exit, 0);
    while (pause())
        ;
    return 0;
}

/* All signals are blocked in it: a handler of ours would run there. */
static pid_t make_holder(void *stack, size_t size)
{
    sigset_t all, before;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &before);
    pid_t made = clone(hold, (char *)stack + size, CLONE_VM | CLONE_FILES | CLONE_FS, (void *)(intptr_t)getpid());
    sigprocmask(SIG_SETMASK, &before, NULL);
    return made;
}

int zt_looker_prepare(zt_looker *looker)
{
    enum { STACK = 64 << 10 };
    looker->poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    looker->stack = looker->poke < 0 ? NULL : aligned_alloc(64, STACK);
    if (!looker->stack)
        return -1;
    looker->holder = make_holder(looker->stack, STACK);
    return looker->holder > 0 ? 0 : -1;
}

int zt_looker_add(zt_looker *looker, int listener)
{
    const uint64_t same_processor = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP_;
    int *more = realloc(looker->listeners, (size_t)(looker->count + 1) * sizeof *more);
    if (!more)
        return -ENOMEM;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS_, same_processor); /* Linux 6.6; older ones wake up another */
    looker->listeners = more;
    looker->listeners[looker->count++] = listener;
    eventfd_write(looker->poke, 1);
    return 0;
}
