/* Owners of descriptors (who gets SIGIO) and holders of locks. */
#include <fcntl.h>

#include "resource.h"

static int32_t real_of_signed(zt_pod *pod, int32_t id)
{
    int32_t real = zt_pod_real(pod, id < 0 ? -id : id).n;
    return id < 0 ? -real : real;
}

static int32_t virtual_of_signed(zt_pod *pod, int32_t id)
{
    int32_t virtual = zt_pod_virtual(pod, id < 0 ? -id : id).n;
    return id < 0 ? -virtual : virtual;
}

zt_verdict zt_fcntl_fdtable_enter(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct f_owner_ex owner;
    switch ((int)call->asked[1]) {
    case F_SETOWN: {
        int32_t id = (int32_t)call->asked[2];
        if (!id)
            return ZT_GO;
        int32_t real = real_of_signed(pod, id);
        if (!real)
            return zt_hook_answer(call, -ESRCH);
        call->issued[2] = (uint64_t)(int64_t)real;
        return ZT_GO;
    }
    case F_SETOWN_EX:
        if (!zt_hook_read(task, call->asked[2], &owner, sizeof owner) || !owner.pid)
            return ZT_GO;
        owner.pid = zt_pod_real(pod, owner.pid).n;
        if (!owner.pid)
            return zt_hook_answer(call, -ESRCH);
        call->issued[2] = zt_task_scratch(task);
        if (!zt_hook_write(task, call->issued[2], &owner, sizeof owner))
            return zt_hook_answer(call, -EFAULT);
        return ZT_GO;
    default:
        return ZT_GO;
    }
}

void zt_fcntl_fdtable_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    struct f_owner_ex owner;
    struct flock lock;
    if (call->answer < 0 && call->asked[1] != F_GETOWN)
        return;
    switch ((int)call->asked[1]) {
    case F_GETOWN:
        if (call->answer > 0 || call->answer < -4095)
            call->answer = virtual_of_signed(pod, (int32_t)call->answer);
        return;
    case F_GETOWN_EX:
        if (zt_hook_read(task, call->asked[2], &owner, sizeof owner) && owner.pid) {
            owner.pid = zt_pod_virtual(pod, owner.pid).n;
            zt_hook_write(task, call->asked[2], &owner, sizeof owner);
        }
        return;
    case F_GETLK:
    case F_OFD_GETLK:
        if (zt_hook_read(task, call->asked[2], &lock, sizeof lock) && lock.l_type != F_UNLCK && lock.l_pid > 0) {
            lock.l_pid = zt_pod_virtual(pod, lock.l_pid).n;
            zt_hook_write(task, call->asked[2], &lock, sizeof lock);
        }
        return;
    }
}

void zt_close_range_exit(zt_pod *pod, zt_task *task, zt_call *call)
{
    if (call->answer == 0)
        zt_pod_has_own_files(pod, task);
}
