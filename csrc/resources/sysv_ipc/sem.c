/* System V semaphores: numbers and keys, what semctl tells, and what is undone at the end of a process. */
#include <stdlib.h>
#include <sys/sem.h>

#include "control.h"

enum { STAT = 18, INFO = 19, STAT_ANY = 20 }; /* SEM_STAT ... */
enum { OTIME = 1 << 0, CTIME = 1 << 1 };

zt_verdict zt_semget_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    const int32_t count = (int32_t)call->asked[1];
    if (count < 0)
        return zt_hook_answer(call, -EINVAL);
    const zt_ipc like = {.kind = ZT_IPC_SEM, .key = (int32_t)call->asked[0], .size = (uint64_t)count};
    return zt_hook_answer(call, zt_ipc_get(pod, task, &like, (int32_t)call->asked[2]));
}

/* All of the operations of a call happen together. */
static void note_operations(zt_ipc_object *set, const zt_task *task, const zt_call *call)
{
    const size_t count = (uint32_t)call->asked[2];
    struct sembuf *operations = calloc(count, sizeof *operations);
    if (!operations)
        return;
    if (zt_hook_read(task, call->asked[1], operations, count * sizeof *operations))
        for (size_t i = 0; i < count; i++) {
            const struct sembuf *one = &operations[i];
            if (one->sem_num >= set->ipc.size)
                continue;
            set->pids[one->sem_num] = task->process->vpid.n;
            if (one->sem_flg & SEM_UNDO)
                zt_ipc_undo_by(set, task->process->vpid, one->sem_num, -one->sem_op);
        }
    free(operations);
    set->news |= OTIME;
}

/* Only what is undone at the end of a process nobody tells us later, where the numbers are the kernel's. */
static bool undoes_nothing(const zt_task *task, const zt_call *call)
{
    enum { FEW = 16 };
    struct sembuf operations[FEW];
    const uint64_t count = call->asked[2];
    if (!count || count > FEW || !zt_hook_read(task, call->asked[1], operations, count * sizeof *operations))
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (operations[i].sem_flg & SEM_UNDO)
            return false;
    return true;
}

zt_verdict zt_semop_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    call->end_is_known = !pod->moved && undoes_nothing(task, call);
    return zt_ipc_issue(pod, call, ZT_IPC_SEM);
}

void zt_semop_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    zt_ipc_object *set = call->answer ? NULL : zt_ipc_asked(pod, call, ZT_IPC_SEM);
    if (set)
        note_operations(set, task, call);
}

zt_verdict zt_semtimedop_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    return zt_semop_enter(pod, task, call);
}

void zt_semtimedop_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    zt_semop_exit(pod, task, call);
}

zt_verdict zt_semctl_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    (void)task;
    const int command = (int)call->asked[2] & ~ZT_IPC_OLD;
    const bool asks =
        command == GETVAL || command == GETALL || command == GETPID || command == GETNCNT || command == GETZCNT;
    call->end_is_known = !pod->moved && asks;
    return zt_ipc_control_enter(pod, call, ZT_IPC_SEM, 2, STAT, STAT_ANY);
}

static void correct_info(zt_pod *pod, const zt_task *task, const zt_call *call)
{
    struct seminfo info;
    uint64_t semaphores;
    if (!zt_hook_read(task, call->asked[3], &info, sizeof info))
        return;
    info.semusz = zt_ipc_count(&pod->ipcs, ZT_IPC_SEM, &semaphores);
    info.semaem = (int)semaphores;
    zt_hook_write(task, call->asked[3], &info, sizeof info);
}

void zt_semctl_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    const int command = (int)call->asked[2] & ~ZT_IPC_OLD, number = (int)call->asked[1];
    zt_ipc_control_exit(pod, task, call, ZT_IPC_SEM, 2, STAT, STAT_ANY);
    if (call->answer < 0)
        return;
    if (command == INFO)
        correct_info(pod, task, call);
    if (command != GETPID && command != SETVAL && command != SETALL)
        return;
    zt_ipc_object *set = zt_ipc_asked(pod, call, ZT_IPC_SEM);
    if (!set)
        return;
    if (command == GETPID) {
        call->answer = set->pids[number];
        return;
    }
    const uint64_t first = command == SETVAL ? (uint64_t)number : 0;
    const uint64_t end = command == SETVAL ? first + 1 : set->ipc.size;
    for (uint64_t i = first; i < end; i++)
        set->pids[i] = task->process->vpid.n;
    zt_ipc_undo_never(set, command == SETVAL ? number : -1);
    set->news |= CTIME;
}
