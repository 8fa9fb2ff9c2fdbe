/* Who sent the signals that are read from a signalfd. */
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/uio.h>

#include "../base/proc.h"
#include "common/senders.h"
#include "resource.h"

typedef struct signalfd_siginfo info;

zt_verdict zt_signalfd_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)call;
    return zt_senders_asked_for(pod, task);
}

zt_verdict zt_signalfd4_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return zt_signalfd_enter(pod, task, call);
}

/* Of what was read, the `size` bytes from `at` on; they may lie in several places. */
static bool copy(const zt_task *task, const struct iovec *places, int count, uint64_t at, void *bytes, uint64_t size,
                 bool back)
{
    for (int i = 0; i < count && size; i++) {
        const uint64_t here = places[i].iov_len;
        if (at >= here) {
            at -= here;
            continue;
        }
        const uint64_t address = (uint64_t)places[i].iov_base + at, part = here - at < size ? here - at : size;
        if (!(back ? zt_hook_write(task, address, bytes, part) : zt_hook_read(task, address, bytes, part)))
            return false;
        bytes = (char *)bytes + part;
        size -= part;
        at = 0;
    }
    return !size;
}

static bool names_sender(const info *one)
{
    const bool child = one->ssi_signo == SIGCHLD && one->ssi_code > 0;
    return one->ssi_pid && (child || one->ssi_code == SI_USER || one->ssi_code == SI_TKILL);
}

static void show_senders(zt_pod *pod, const zt_task *task, const zt_call *call, const struct iovec *places, int count)
{
    char target[40];
    info one;
    if (call->answer <= 0 || call->answer % (int64_t)sizeof one)
        return;
    if (zt_proc_fd_link(task->rtid.n, (int)call->asked[0], target, sizeof target) ||
        strcmp(target, "anon_inode:[signalfd]") != 0)
        return;
    for (uint64_t at = 0; at < (uint64_t)call->answer; at += sizeof one) {
        if (!copy(task, places, count, at, &one, sizeof one, false))
            return;
        if (!names_sender(&one))
            continue;
        one.ssi_pid = (uint32_t)zt_pod_virtual(pod, (int32_t)one.ssi_pid).n;
        copy(task, places, count, at, &one, sizeof one, true);
    }
}

void zt_read_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    const struct iovec all = {(void *)call->asked[1], call->asked[2]};
    show_senders(pod, task, call, &all, 1);
}

void zt_readv_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct iovec places[IOV_MAX];
    const uint64_t count = call->asked[2];
    if (count <= IOV_MAX && zt_hook_read(task, call->asked[1], places, count * sizeof *places))
        show_senders(pod, task, call, places, (int)count);
}
