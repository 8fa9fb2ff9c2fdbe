#include "filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../arch/arch.h"
#include "zt_filter.h"

int zt_filter_put_on(bool moved)
{
    const struct sock_fprog fresh = {sizeof zt_filter_fresh / sizeof *zt_filter_fresh,
                                     (struct sock_filter *)zt_filter_fresh};
    const struct sock_fprog restored = {sizeof zt_filter_moved / sizeof *zt_filter_moved,
                                        (struct sock_filter *)zt_filter_moved};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, moved ? &restored : &fresh);
}
