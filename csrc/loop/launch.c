/* The first process of a pod: forked here, seized before it executes anything of its own. */
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../ptrace/filter.h"
#include "loop.h"

/* What went wrong in the child, through a socket that a successful exec closes; before that, its listener. */
typedef struct {
    int error;
    bool filter; /* what went wrong is our seccomp filter */
} report_t;

static void report_that(int fd, report_t what)
{
    if (write(fd, &what, sizeof what) < 0)
        _exit(126);
    _exit(127);
}

typedef union passed {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
} passed;

static int pass_listener(int socket, int listener)
{
    char byte = 0;
    passed control = {.head = {.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))}};
    const struct msghdr message = {.msg_iov = &(struct iovec){&byte, 1},
                                   .msg_iovlen = 1,
                                   .msg_control = &control,
                                   .msg_controllen = sizeof control};
    memcpy(CMSG_DATA(&control.head), &listener, sizeof listener);
    return sendmsg(socket, &message, 0) == 1 ? 0 : -1;
}

/* It has executed its program. -1: there is no listener. */
static int take_listener(int socket)
{
    char byte;
    passed control;
    int listener = -1;
    struct msghdr message = {.msg_iov = &(struct iovec){&byte, 1},
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    if (recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) == 1 && message.msg_controllen)
        memcpy(&listener, CMSG_DATA(&control.head), sizeof listener);
    return listener;
}

static void report(int fd, int error)
{
    report_that(fd, (report_t){.error = error});
}

/* Move the three to where 0, 1 and 2 do not overwrite one that is still needed. */
static int place_stdio(const int32_t *fds)
{
    int high[3];
    for (int i = 0; i < 3; i++) {
        high[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD, 3);
        if (fds[i] >= 0 && high[i] < 0)
            return -1;
    }
    for (int i = 0; i < 3; i++) {
        if (high[i] < 0)
            close(i);
        else if (dup2(high[i], i) < 0)
            return -1;
    }
    return 0;
}

static int set_soft_limit(int64_t nofile)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return -1;
    limit.rlim_cur = (rlim_t)nofile;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

/* After fork, in a copy of a process with threads: only async-signal-safe calls. */
static void child(const zt_launch_spec *spec, const zt_pod *pod, const int go[2], int failed)
{
    char byte;
    int listener;
    sigset_t none;
    for (int signal = 1; signal < NSIG; signal++)
        if (signal != SIGKILL && signal != SIGSTOP)
            sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    close(go[1]); /* else the end of the supervisor would not end us */
    if (read(go[0], &byte, 1) != 1) /* until we are seized */
        _exit(127);
    int keep = fcntl(failed, F_DUPFD_CLOEXEC, 3);
    if (keep < 0 || place_stdio(spec->fds))
        report(failed, errno);
    if (spec->tty && ioctl(0, TIOCSCTTY, 0))
        report(keep, errno);
    zt_proc_close_all(3, keep);
    if (spec->cwd && chdir(spec->cwd))
        report(keep, errno);
    if (spec->nofile && set_soft_limit(spec->nofile))
        report(keep, errno);
    const zt_filter_how looks = pod->looker.begun ? ZT_FILTER_LOOKS : ZT_FILTER_STOPS;
    const zt_filter_how how = pod->notified ? ZT_FILTER_NOTIFIES : looks;
    if (zt_filter_put_on(pod->moved, pod->senders, pod->addresses, pod->keeps, &pod->thread_maker, how, &listener) ||
        (listener >= 0 && pass_listener(keep, listener)))
        report_that(keep, (report_t){.error = errno, .filter = true});
    execve(spec->path, spec->argv, spec->envp);
    report(keep, errno);
}

/* It comes before the program is executed, and execve itself comes by it. 1: there is one, and the call goes on; 0:
 * the program stops or has ended; *ret is that, if it is known. */
static int let_it_execute(zt_pod *pod, int32_t rpid, int failed, zt_stop *ret, zt_err *err)
{
    union {
        struct seccomp_notif asked;
        struct seccomp_notif_resp said;
        char room[ZT_LOOKER_MOST];
    } it;
    int listener = -1;
    char told[sizeof(report_t)];
    *ret = (zt_stop){0};
    for (;;) {
        if (listener < 0 && recv(failed, told, sizeof told, MSG_PEEK | MSG_DONTWAIT) == 1) {
            listener = take_listener(failed);
            if (listener >= 0 && zt_looker_add(&pod->looker, listener))
                return zt_fail(err, ZT_ERR_OS, ENOMEM, "no memory for a new process");
        }
        memset(&it, 0, sizeof it);
        struct pollfd place = {.fd = listener, .events = POLLIN};
        if (listener >= 0 && poll(&place, 1, 1) == 1 && place.revents & POLLIN &&
            !ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &it.asked)) {
            const uint64_t number = it.asked.id;
            memset(&it, 0, sizeof it);
            it.said.id = number;
            it.said.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
            ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &it.said);
            return 1;
        }
        if (zt_stop_take(rpid, ret, err))
            return -1;
        if (ret->rtid)
            return 0;
        if (listener < 0)
            nanosleep(&(struct timespec){0, 100000}, NULL);
    }
}

static int await_exec(zt_pod *pod, int32_t rpid, int failed, zt_err *err)
{
    zt_stop stop;
    zt_task *task;
    bool rests, is_let = !pod->notified;
    for (;;) {
        stop = (zt_stop){0};
        if (!is_let) {
            const int let = let_it_execute(pod, rpid, failed, &stop, err);
            if (let < 0)
                return -1;
            is_let = let;
        }
        if (!stop.rtid && zt_stop_wait(rpid, &stop, err))
            return -1;
        if (stop.kind == ZT_STOP_EXEC) {
            const int listener = take_listener(failed);
            if (listener >= 0 && zt_looker_add(&pod->looker, listener)) {
                close(listener);
                return zt_fail(err, ZT_ERR_OS, ENOMEM, "no memory for a new process");
            }
            if (!is_let)
                pod->notified = pod->detaches = false; /* somebody else's listener is there: all stops */
            if (zt_loop_on_exec(pod, stop, &task, &rests, err))
                return -1;
            return task ? 0 : zt_fail(err, ZT_ERR_GONE, ESRCH, "it was killed while it was launched");
        }
        if (stop.kind == ZT_STOP_EXITED) {
            report_t told = {0};
            task = zt_pod_task(pod, rpid);
            while (recv(failed, &told, sizeof told, 0) == 1) /* the listener; it is closed with this socket */
                ;
            if (!told.error)
                told.error = ESRCH;
            zt_pod_remove_task(pod, task);
            if (told.filter)
                return zt_fail(err, ZT_ERR_OS, told.error, "seccomp: %s", strerror(told.error));
            return zt_fail(err, ZT_ERR_EXEC, told.error, "%s", strerror(told.error));
        }
        int signal = stop.kind == ZT_STOP_SIGNAL ? stop.value : 0;
        if (zt_stopped_resume((zt_stopped){rpid}, ZT_TO_EVENT, signal, err))
            return -1;
    }
}

/* It could not be launched, and the pod that it was to join lives on without it. */
static void end_newcomer(zt_pod *pod, int32_t rpid)
{
    zt_err ignored;
    zt_stop stop;
    if (!zt_pod_task(pod, rpid))
        return;
    kill(rpid, SIGKILL);
    while (!zt_stop_wait(rpid, &stop, &ignored) && stop.kind != ZT_STOP_EXITED)
        if (zt_stopped_resume((zt_stopped){rpid}, ZT_TO_EVENT, 0, &ignored) && ignored.kind != ZT_ERR_GONE)
            break;
    zt_pod_remove_task(pod, zt_pod_task(pod, rpid));
}

int zt_loop_launch(zt_pod *pod, const zt_launch_spec *spec, int32_t *ret_rpid, zt_err *err)
{
    int go[2], failed[2];
    if (pipe2(go, O_CLOEXEC))
        return zt_fail_os(err, "pipe");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, failed)) {
        close(go[0]);
        close(go[1]);
        return zt_fail_os(err, "socketpair");
    }
    pid_t rpid = fork();
    if (rpid == 0)
        child(spec, pod, go, failed[1]);
    close(go[0]);
    close(failed[1]);
    int result = -1;
    if (rpid < 0) {
        zt_fail_os(err, "fork");
    } else if (zt_seize(rpid, pod->moved, err)) {
        kill(rpid, SIGKILL);
        waitpid(rpid, NULL, 0);
    } else {
        pod->expected_vpid = spec->vpid;
        zt_task *task = zt_pod_add_task(pod, NULL, rpid);
        task->known = true;
        task->no_new_privs = pod->no_new_privs;
        if (spec->root)
            pod->root = task->rtid;
        pod->freezing = true; /* it is at rest once it has executed */
        bool told = write(go[1], "", 1) == 1 || zt_fail_os(err, "write to a new process") == 0;
        if (told && !await_exec(pod, rpid, failed[0], err)) {
            task = zt_pod_task(pod, rpid);
            task->state = ZT_TASK_REST;
            *ret_rpid = rpid;
            result = spec->hold ? 0 : zt_loop_thaw(pod, err);
        } else if (spec->joins) {
            end_newcomer(pod, rpid);
        } else if (pod->task_count) {
            zt_err ignored; /* why it could not be launched is what counts */
            zt_loop_kill(pod, &ignored);
        }
    }
    close(go[1]);
    close(failed[0]);
    if (result)
        pod->freezing = spec->joins;
    if (result && spec->root)
        pod->root = (zt_rpid){0};
    return result;
}
