/* Sending signals within the pod, and who sent the one that was waited for. */
#include <inttypes.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../base/proc.h"
#include "resource.h"

/* Real, effective and saved user id, and whether the process has CAP_KILL. */
static bool read_ids(zt_rpid of, unsigned ids[3], bool *ret_may_kill)
{
    char status[16384]; /* all groups come before the capabilities */
    uint64_t effective = 0;
    if (zt_proc_read(of.n, "status", status, sizeof status))
        return false;
    const char *uids = zt_proc_value(status, "Uid"), *caps = zt_proc_value(status, "CapEff");
    if (!uids || !caps || sscanf(uids, "%u %u %u", &ids[0], &ids[1], &ids[2]) != 3 ||
        sscanf(caps, "%" SCNx64, &effective) != 1)
        return false;
    *ret_may_kill = effective >> CAP_KILL & 1;
    return true;
}

/* May it, as kill(2) says? We that signal in its place may more if we are root. */
static bool may_signal(const zt_task *sender, zt_rpid target)
{
    unsigned own[3], its[3];
    bool may_kill, unused;
    if (geteuid())
        return true;
    return read_ids((zt_rpid){sender->rtid.n}, own, &may_kill) && read_ids(target, its, &unused) &&
           (may_kill || own[0] == its[0] || own[0] == its[2] || own[1] == its[0] || own[1] == its[2]);
}

/* kill(-1): everything of the pod but the caller; nothing of the rest of the host. As the kernel has it,
 * whom the caller may not signal does not count. */
static int64_t kill_all_others(zt_pod *pod, const zt_task *sender, int signal)
{
    bool found = false;
    int64_t answer = 0;
    for (const zt_task *task = pod->tasks; task; task = task->next) {
        if (task->process == sender->process || task->rtid.n != task->process->rpid.n)
            continue;
        found = true;
        if (!may_signal(sender, task->process->rpid))
            continue;
        const int64_t error = kill(task->process->rpid.n, signal) ? -errno : 0;
        if (error != -EPERM)
            answer = error;
    }
    return found ? answer : -ESRCH;
}

/* kill(whom, 0): is it there, and may the caller signal it? */
static int64_t may_be_signalled(const zt_task *sender, zt_rpid target)
{
    if (kill(target.n, 0))
        return -errno;
    const zt_rpid own = sender->process->rpid;
    if (target.n == own.n || may_signal(sender, target))
        return 0;
    return kill(target.n, 0) ? -errno : -EPERM; /* it may be gone by now, and its ids with it */
}

zt_verdict zt_kill_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    int32_t whom = (int32_t)call->asked[0];
    if (whom == 0)
        return ZT_GO;
    if (whom == -1)
        return zt_hook_answer(call, kill_all_others(pod, task, (int)call->asked[1]));
    if (whom == 1) /* the supervisor is nobody's to end, as init is not */
        return zt_hook_answer(call, call->asked[1] || !may_signal(task, (zt_rpid){getpid()}) ? -EPERM : 0);
    zt_rpid real = zt_pod_real(pod, whom > 0 ? whom : -whom);
    if (!real.n)
        return zt_hook_answer(call, -ESRCH);
    if (whom > 0 && !(int)call->asked[1])
        return zt_hook_answer(call, may_be_signalled(task, real));
    call->issued[0] = (uint64_t)(int64_t)(whom > 0 ? real.n : -real.n);
    return ZT_GO;
}

void zt_rt_sigtimedwait_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    const uint64_t address = call->asked[1];
    siginfo_t info;
    if (call->answer <= 0 || !address || !zt_hook_read(task, address, &info, sizeof info))
        return;
    if (zt_pod_virtual_sender(pod, &info))
        zt_hook_write(task, address, &info, sizeof info);
}
