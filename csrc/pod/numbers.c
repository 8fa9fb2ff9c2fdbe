/* Numbers of the pod and of the kernel, and what of them is of the pod at all: pod.h. */
#include <signal.h>
#include <unistd.h>

#include "../base/proc.h"
#include "members.h"

/* A process that has ended is still in the pod until its parent has waited for it; after that its
 * number may belong to anybody. */
static bool is_zombie_of_ours(zt_pod *pod, zt_rpid rpid)
{
    zt_proc_stat stat;
    return zt_proc_get_stat(rpid.n, &stat) && stat.state == 'Z' &&
           (stat.parent == getpid() || zt_pod_process(pod, (zt_rpid){stat.parent}));
}

static bool is_group_of_ours(zt_pod *pod, zt_rpid rpid)
{
    for (zt_task *task = pod->tasks; task; task = task->next)
        if (getpgid(task->process->rpid.n) == rpid.n || getsid(task->process->rpid.n) == rpid.n)
            return true;
    return false;
}

zt_rpid zt_pod_real(zt_pod *pod, int32_t virtual_id)
{
    zt_rpid none = {0};
    if (pod->detaches)
        return zt_members_have(pod, virtual_id) || zt_members_have_group(pod, virtual_id) ? (zt_rpid){virtual_id}
                                                                                          : none;
    zt_rpid rpid = zt_idtable_to_real(&pod->ids, (zt_vpid){virtual_id});
    if (!rpid.n || zt_pod_task(pod, rpid.n) || zt_pod_process(pod, rpid))
        return rpid;
    /* It stays in the table: the kernel may have told its parent of it, and we not yet (zt_wait4_exit). */
    return is_zombie_of_ours(pod, rpid) || is_group_of_ours(pod, rpid) ? rpid : none;
}

zt_vpid zt_pod_virtual(zt_pod *pod, int32_t real_id)
{
    if (real_id == getpid())
        return (zt_vpid){1};
    if (pod->detaches)
        return (zt_vpid){zt_members_have(pod, real_id) || zt_members_have_group(pod, real_id) ? real_id : 0};
    return zt_idtable_to_virtual(&pod->ids, (zt_rpid){real_id});
}

zt_vpid zt_pod_peer(zt_pod *pod, int32_t real_id)
{
    if (!pod->moved) /* it never had another number */
        return (zt_vpid){real_id};
    if (!zt_pod_task(pod, real_id)) {
        int32_t vpid = (int32_t)zt_intmap_get(&pod->stood_in, real_id);
        if (vpid)
            return (zt_vpid){vpid};
    }
    return zt_idtable_to_virtual(&pod->ids, (zt_rpid){real_id});
}

int zt_pod_stood_in(zt_pod *pod, zt_vpid vpid, zt_rpid rpid)
{
    zt_idtable_drop(&pod->ids, zt_idtable_to_virtual(&pod->ids, rpid));
    return zt_intmap_put(&pod->stood_in, rpid.n, (uintptr_t)vpid.n);
}

bool zt_pod_virtual_sender(zt_pod *pod, siginfo_t *info)
{
    bool has_sender = info->si_code == SI_USER || info->si_code == SI_TKILL || info->si_code == SI_MESGQ ||
                      (info->si_signo == SIGCHLD && info->si_code > 0);
    if (!has_sender || !info->si_pid)
        return false;
    int32_t sender = zt_pod_virtual(pod, info->si_pid).n;
    bool changed = sender != info->si_pid;
    info->si_pid = sender;
    return changed;
}

bool zt_pod_is_kept_out(zt_pod *pod, const siginfo_t *info)
{
    if (info->si_signo < 1 || !(pod->kept_out >> (info->si_signo - 1) & 1))
        return false;
    if (info->si_code != SI_USER && info->si_code != SI_TKILL)
        return false;
    return !zt_pod_virtual(pod, info->si_pid).n; /* also of one that has ended since; 0: of a namespace above */
}
