/* vfork (and clone with CLONE_VFORK) is issued without that flag, and we hold the maker in its event
 * until the child has executed or ended. The kernel would have it wait where it can be neither frozen
 * nor looked at; a child may take its time, in posix_spawn with a file action that opens a FIFO, say. */
#include "births.h"

#include <errno.h>
#include <sched.h>
#include <sys/wait.h>

#include "../base/proc.h"
#include "../pod/past.h"
#include "../pod/seccomp.h"
#include "../ptrace/mem.h"
#include "attach.h"

/* What the maker asked for. A program's own clone3 was looked at before the call (the room notes
 * it): by now another thread may have taken its memory away. The stub's memory is ours. */
static int get_asked(zt_task *maker, const zt_regs *regs, zt_clone_asked *ret, zt_err *err)
{
    uint64_t args[6];
    zt_arch_get_args(regs, args);
    *ret = (zt_clone_asked){0};
    long nr = zt_arch_call_nr(regs);
    if (nr == zt_arch_nr(ZT_NR_CLONE))
        *ret = (zt_clone_asked){.flags = args[0] & ~0xffull, .child_tid = args[3], .parent_tid = args[2]};
    else if (nr == zt_arch_nr(ZT_NR_CLONE3) && zt_arch_in_stub(regs))
        return zt_mem_get(maker->rtid.n, args[0], ret, sizeof *ret, err);
    else if (nr == zt_arch_nr(ZT_NR_CLONE3))
        *ret = maker->clone_asked;
    return 0;
}

/* The kernel wrote its own number for the child into memory; the pod has another one for it. */
static void correct_tid_words(const zt_task *maker, const zt_task *child, const zt_clone_asked *asked)
{
    int32_t vtid = child->vtid.n;
    zt_err ignored; /* the program may have given a bad address: then the kernel did not write either */
    if (asked->flags & CLONE_PARENT_SETTID)
        zt_mem_put(maker->rtid.n, asked->parent_tid, &vtid, sizeof vtid, &ignored);
    if (asked->flags & CLONE_CHILD_SETTID)
        zt_mem_put(child->rtid.n, asked->child_tid, &vtid, sizeof vtid, &ignored);
}

/* A newborn is on the way to its first stop, or dies. If it is not wanted there, *ret may stay empty. */
static int first_stop(zt_pod *pod, int32_t rtid, bool wanted, zt_stop *ret, zt_err *err)
{
    const uintptr_t early = zt_intmap_get(&pod->early, rtid);
    if (!early)
        return wanted ? zt_stop_wait(rtid, ret, err) : zt_stop_take(rtid, ret, err);
    zt_intmap_remove(&pod->early, rtid);
    *ret = zt_stop_of(rtid, (int)early - 1);
    return 0;
}

/* Must it be in its first stop when we take it in? Where nothing of it is changed then, the loop meets it there. */
static bool is_wanted_stopped(zt_pod *pod, const zt_task *maker, int32_t rtid, bool vfork)
{
    return pod->moved || pod->freezing || maker->in_call || vfork ||
           zt_idtable_choose(&pod->ids, (zt_rpid){rtid}).n != rtid;
}

static int give_back_its_args(const zt_task *maker, zt_stopped thread, zt_regs *regs, zt_err *err)
{
    zt_arch_set_args(regs, maker->call.asked);
    if (zt_loop_is_issued(regs->rip))
        regs->rip = maker->call.ip;
    return zt_stopped_set_regs(thread, regs, err);
}

/* Both go on with the arguments that the program gave, also in registers. */
static int give_back_args(zt_task *maker, zt_regs *regs, const zt_stop *child, zt_err *err)
{
    if (give_back_its_args(maker, zt_task_stopped(maker), regs, err))
        return -1;
    maker->in_call = false;
    if (child->kind == ZT_STOP_EXITED)
        return 0;
    zt_stopped newborn = {child->rtid};
    return zt_stopped_get_regs(newborn, regs, err) || give_back_its_args(maker, newborn, regs, err) ? -1 : 0;
}

/* It was killed before its first stop was seen with its maker's: its number can be waited for. */
static int name_dead_child(zt_pod *pod, zt_task *maker, int32_t rtid, zt_err *err)
{
    zt_vpid vpid = zt_idtable_choose(&pod->ids, (zt_rpid){rtid});
    if (zt_idtable_bind(&pod->ids, vpid, (zt_rpid){rtid}))
        return zt_fail(err, ZT_ERR_OS, ENOMEM, "no memory for a new process");
    if (vpid.n != rtid)
        maker->made = vpid;
    return 0;
}

int zt_loop_forked(zt_pod *pod, zt_task *maker, bool vfork, zt_stop *ret_child, zt_onward *ret, zt_err *err)
{
    unsigned long message;
    zt_clone_asked asked;
    zt_regs regs;
    *ret_child = (zt_stop){0};
    *ret = ZT_ONWARD_RUN;
    if (zt_stopped_message(zt_task_stopped(maker), &message, err) ||
        zt_stopped_get_regs(zt_task_stopped(maker), &regs, err) || get_asked(maker, &regs, &asked, err))
        return -1;
    if (!(asked.flags & CLONE_THREAD))
        maker->process->may_leave_children = true;
    if (asked.flags & CLONE_PARENT)
        pod->may_have_siblings = true;
    const bool held = maker->in_call && maker->call.as_vfork;
    int32_t rtid = (int32_t)message;
    if (zt_pod_task(pod, rtid))
        return 0; /* adopted already, when it seemed that nobody would tell of it */
    if (first_stop(pod, rtid, is_wanted_stopped(pod, maker, rtid, vfork), ret_child, err)) {
        *ret_child = (zt_stop){0};
        return err->kind == ZT_ERR_GONE ? name_dead_child(pod, maker, rtid, err) : -1;
    }
    bool thread = asked.flags & CLONE_THREAD;
    zt_task *child = zt_pod_add_task(pod, thread ? maker->process : NULL, rtid);
    child->known = child->newborn = true;
    child->process->ready = maker->process->ready;
    child->process->dumpable = maker->process->dumpable;
    if (!thread)
        zt_past_begin(maker->process, child->process);
    child->landlocked = maker->landlocked;
    zt_seccomp_inherit(child, maker);
    zt_pod_made_by(child, maker, asked.flags);
    if (vfork || held) {
        child->vfork_maker = maker;
        child->process->vfork_in_kernel = vfork;
        maker->awaits_child = true;
        maker->state = ZT_TASK_VFORK;
        *ret = ZT_ONWARD_HOLD;
    }
    if (maker->in_call && give_back_args(maker, &regs, ret_child, err))
        return -1;
    if (child->vtid.n != child->rtid.n) {
        maker->made = child->vtid;
        correct_tid_words(maker, child, &asked);
    }
    return 0;
}

/* A newborn process whose maker died before its event could be seen. (A thread dies with its
 * maker.) */
static bool is_orphan(zt_pod *pod, int32_t rtid)
{
    char status[512];
    int32_t tgid = 0, parent = 0;
    if (zt_proc_read(rtid, "status", status, sizeof status))
        return false;
    const char *tgid_at = zt_proc_value(status, "Tgid"), *parent_at = zt_proc_value(status, "PPid");
    if (!tgid_at || !parent_at || sscanf(tgid_at, "%d", &tgid) != 1 || sscanf(parent_at, "%d", &parent) != 1)
        return false;
    return tgid == rtid && !zt_pod_process(pod, (zt_rpid){parent});
}

static int32_t first_orphan(zt_pod *pod)
{
    for (uint32_t i = 0; pod->early.used && i <= pod->early.mask; i++)
        if (pod->early.slots[i].key && is_orphan(pod, pod->early.slots[i].key))
            return pod->early.slots[i].key;
    return 0;
}

bool zt_loop_has_orphan(zt_pod *pod)
{
    return first_orphan(pod);
}

bool zt_loop_adopt_orphan(zt_pod *pod, zt_stop *ret_child)
{
    const int32_t rtid = first_orphan(pod);
    if (!rtid)
        return false;
    *ret_child = zt_stop_of(rtid, (int)(zt_intmap_get(&pod->early, rtid) - 1));
    zt_intmap_remove(&pod->early, rtid);
    zt_task *task = zt_pod_add_task(pod, NULL, rtid);
    task->known = task->process->ready = true;
    task->filter = zt_seccomp_are_there(pod) ? ZT_SECCOMP_UNKNOWN : 0; /* its maker's, and nobody knows who that was */
    return true;
}
