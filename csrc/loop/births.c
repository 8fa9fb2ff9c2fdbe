/* Processes and threads being made. The kernel tells of it twice, in any order: the maker stops in a
 * fork event, and the child in its first stop. A child runs only when both have been seen. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/wait.h>

#include "../ptrace/mem.h"
#include "loop.h"

typedef struct clone_asked {
    uint64_t flags, child_tid, parent_tid;
} clone_asked;

static int get_clone_asked(zt_task *maker, clone_asked *ret, zt_err *err)
{
    zt_regs regs;
    uint64_t args[6];
    if (zt_stopped_get_regs(zt_task_stopped(maker), &regs, err))
        return -1;
    zt_arch_get_args(&regs, args);
    *ret = (clone_asked){0};
    long nr = zt_arch_call_nr(&regs);
    if (nr == zt_arch_nr(ZT_NR_CLONE)) {
        *ret = (clone_asked){args[0] & ~0xffull, args[3], args[2]};
    } else if (nr == zt_arch_nr(ZT_NR_CLONE3)) {
        struct {
            uint64_t flags, pidfd, child_tid, parent_tid;
        } asked; /* the head of struct clone_args */
        if (zt_mem_get(maker->rtid.n, args[0], &asked, sizeof asked, err))
            return -1;
        *ret = (clone_asked){asked.flags, asked.child_tid, asked.parent_tid};
    }
    return 0;
}

/* The kernel wrote its own number for the child into memory; the pod has another one for it. */
static void correct_tid_words(const zt_task *maker, const zt_task *child, const clone_asked *asked)
{
    int32_t vtid = child->vtid.n;
    zt_err ignored; /* the program may have given a bad address: then the kernel did not write either */
    if (asked->flags & CLONE_PARENT_SETTID)
        zt_mem_put(maker->rtid.n, asked->parent_tid, &vtid, sizeof vtid, &ignored);
    if (asked->flags & CLONE_CHILD_SETTID)
        zt_mem_put(child->rtid.n, asked->child_tid, &vtid, sizeof vtid, &ignored);
}

/* Wait until a newborn is in its first stop. */
static int await_birth(zt_pod *pod, int32_t rtid, int *ret, zt_err *err)
{
    *ret = (int)zt_intmap_get(&pod->early, rtid) - 1;
    if (*ret >= 0) {
        zt_intmap_remove(&pod->early, rtid);
        return 0;
    }
    pid_t got;
    do
        got = waitpid(rtid, ret, __WALL);
    while (got < 0 && errno == EINTR);
    return got < 0 ? zt_fail_os(err, "waitpid of a new process") : 0;
}

int zt_loop_forked(zt_pod *pod, zt_task *maker, bool vfork, zt_err *err)
{
    unsigned long message;
    clone_asked asked;
    int status;
    if (zt_stopped_message(zt_task_stopped(maker), &message, err) || get_clone_asked(maker, &asked, err))
        return -1;
    int32_t rtid = (int32_t)message;
    if (zt_pod_task(pod, rtid))
        return 0; /* adopted already, when it seemed that nobody would tell of it */
    if (await_birth(pod, rtid, &status, err))
        return -1;
    bool thread = asked.flags & CLONE_THREAD;
    zt_task *child = zt_pod_add_task(pod, thread ? maker->process : NULL, rtid);
    child->known = true;
    child->process->ready = maker->process->ready;
    if (vfork)
        child->process->vfork_maker = maker;
    if (child->vtid.n != child->rtid.n) {
        maker->made = child->vtid;
        correct_tid_words(maker, child, &asked);
    }
    return zt_loop_dispatch(pod, zt_stop_of(rtid, status), err);
}

static void read_status(int32_t rtid, int32_t *ret_tgid, int32_t *ret_ppid)
{
    char path[64], line[128];
    snprintf(path, sizeof path, "/proc/%d/status", rtid);
    *ret_tgid = *ret_ppid = 0;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file) && !*ret_ppid) {
        sscanf(line, "Tgid: %d", ret_tgid);
        sscanf(line, "PPid: %d", ret_ppid);
    }
    if (file)
        fclose(file);
}

/* A newborn process whose maker died before its event could be seen: nobody will tell of it. (A
 * thread dies with its maker.) */
static bool is_forsaken(zt_pod *pod, int32_t rtid)
{
    int32_t tgid, ppid;
    read_status(rtid, &tgid, &ppid);
    return tgid == rtid && !zt_pod_process(pod, (zt_rpid){ppid});
}

int zt_loop_adopt_forsaken(zt_pod *pod, zt_err *err)
{
    for (uint32_t i = 0; pod->early.used && i <= pod->early.mask; i++) {
        int32_t rtid = pod->early.slots[i].key;
        if (!rtid || !is_forsaken(pod, rtid))
            continue;
        int status = (int)pod->early.slots[i].value - 1;
        zt_intmap_remove(&pod->early, rtid);
        zt_task *task = zt_pod_add_task(pod, NULL, rtid);
        task->known = task->process->ready = true;
        if (zt_loop_dispatch(pod, zt_stop_of(rtid, status), err))
            return -1;
        i = UINT32_MAX; /* the table has changed: from the start */
    }
    return 0;
}
