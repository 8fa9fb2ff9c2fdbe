#include "members.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../ptrace/stub.h"

static bool has_mark(const zt_pod *pod, int32_t rtid)
{
    return pod->host.mark && zt_stub_mark(rtid) == pod->host.mark;
}

bool zt_members_have(zt_pod *pod, int32_t rtid)
{
    enum { DEEPEST = 256 };
    zt_proc_stat stat;
    const int32_t us = getpid();
    for (int depth = 0; depth < DEEPEST && rtid > 1 && rtid != us; depth++) {
        if (zt_pod_task(pod, rtid) || has_mark(pod, rtid))
            return true;
        if (!zt_proc_get_stat(rtid, &stat))
            return false;
        if (stat.parent == us && rtid == pod->root.n)
            return true;
        rtid = stat.parent;
    }
    return false;
}

/* A number of /proc/ID/status; 0: it is not told. */
static int32_t status_number(int32_t id, const char *key)
{
    char status[4096];
    int32_t number = 0;
    if (zt_proc_read(id, "status", status, sizeof status))
        return 0;
    const char *at = zt_proc_value(status, key);
    return at && sscanf(at, "%d", &number) == 1 ? number : 0;
}

int32_t zt_members_process_of(int32_t rtid)
{
    return status_number(rtid, "Tgid");
}

/* --- from the top down */

typedef struct walk {
    zt_pod *pod;
    zt_intmap found; /* processes */
    int32_t *todo;
    size_t count, size;
    bool failed; /* no memory */
} walk;

static void add(walk *walk, int32_t rpid)
{
    if (zt_intmap_get(&walk->found, rpid))
        return;
    if (walk->count == walk->size) {
        const size_t size = walk->size ? walk->size * 2 : 64;
        int32_t *more = realloc(walk->todo, size * sizeof *more);
        if (!more) {
            walk->failed = true;
            return;
        }
        walk->todo = more;
        walk->size = size;
    }
    walk->todo[walk->count++] = rpid;
    if (zt_intmap_put(&walk->found, rpid, 1))
        walk->failed = true;
}

/* Of a thread: who is of the pod for being its child. Children of ours may be of somebody else. */
static void add_children(walk *walk, int32_t rpid, int32_t rtid)
{
    char name[64];
    int32_t child;
    snprintf(name, sizeof name, "task/%d/children", rtid);
    FILE *children = zt_proc_open(rpid, name);
    while (children && fscanf(children, "%d", &child) == 1)
        if (rpid != ZT_PROC_SELF || zt_pod_task(walk->pod, child) || has_mark(walk->pod, child))
            add(walk, child);
    if (children)
        fclose(children);
}

static int each_thread(walk *walk, int32_t rpid, zt_member_seen *seen, void *context)
{
    int said = 0;
    DIR *threads = zt_proc_open_threads(rpid);
    for (struct dirent *entry; threads && !said && (entry = readdir(threads));) {
        const int32_t rtid = atoi(entry->d_name);
        if (rtid <= 0)
            continue;
        if (seen)
            said = seen(context, rpid, rtid);
        add_children(walk, rpid, rtid);
    }
    if (threads)
        closedir(threads);
    return said;
}

int zt_members_each(zt_pod *pod, zt_member_seen *seen, void *context)
{
    walk walk = {.pod = pod};
    int said = 0;
    if (zt_intmap_create(&walk.found))
        return -ENOMEM;
    each_thread(&walk, ZT_PROC_SELF, NULL, NULL);
    while (walk.count && !said && !walk.failed)
        said = each_thread(&walk, walk.todo[--walk.count], seen, context);
    free(walk.todo);
    zt_intmap_destroy(&walk.found);
    return walk.failed ? -ENOMEM : said;
}

static int is_of_group(void *context, int32_t rpid, int32_t rtid)
{
    const int32_t id = *(int32_t *)context;
    return rpid == rtid && (getpgid(rpid) == id || getsid(rpid) == id);
}

bool zt_members_have_group(zt_pod *pod, int32_t id)
{
    return zt_members_each(pod, is_of_group, &id) > 0;
}

/* --- records */

zt_task *zt_members_learn(zt_pod *pod, int32_t rtid)
{
    zt_process *process = NULL;
    const int32_t rpid = zt_members_process_of(rtid);
    if (!rpid)
        return NULL;
    for (zt_task *other = pod->tasks; other && !process; other = other->next)
        if (other->process->rpid.n == rpid)
            process = other->process;
    const bool first = !process;
    zt_task *task = zt_pod_add_task(pod, process, rtid);
    if (first) {
        task->process->rpid = (zt_rpid){rpid};
        task->process->vpid = (zt_vpid){rpid};
        task->process->may_leave_children = true;
    }
    task->process->ready = true;
    task->known = true;
    task->no_new_privs = pod->no_new_privs;
    return task;
}

/* --- ends */

static int kill_one(void *context, int32_t rpid, int32_t rtid)
{
    if (rpid == rtid && !kill(rpid, SIGKILL))
        ++*(int32_t *)context;
    return 0;
}

int32_t zt_members_kill(zt_pod *pod)
{
    int32_t count = 0;
    zt_members_each(pod, kill_one, &count);
    return count;
}

static int filters_of(int32_t rpid)
{
    return status_number(rpid, "Seccomp_filters");
}

/* A zombie has no mark any more. But it has had a filter more than we have, as none of our own children has. */
void zt_members_reap(zt_pod *pod)
{
    char name[64];
    int rpid;
    zt_proc_stat stat;
    const int ours = filters_of(ZT_PROC_SELF);
    snprintf(name, sizeof name, "task/%d/children", getpid());
    FILE *children = zt_proc_open(ZT_PROC_SELF, name);
    while (children && fscanf(children, "%d", &rpid) == 1)
        if (!zt_pod_task(pod, rpid) && zt_proc_get_stat(rpid, &stat) && stat.state == 'Z' && filters_of(rpid) > ours)
            waitpid(rpid, NULL, WNOHANG);
    if (children)
        fclose(children);
}
