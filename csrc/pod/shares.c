#include "shares.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long compare(int32_t one, int32_t other, int what)
{
    return syscall(SYS_kcmp, one, other, what, 0ul, 0ul);
}

bool zt_shares_are_told(void)
{
    return compare(getpid(), getpid(), KCMP_VM) == 0;
}

bool zt_shares_memory(const zt_task *one, const zt_task *other)
{
    return compare(one->rtid.n, other->rtid.n, KCMP_VM) == 0;
}

static int order(const void *a, const void *b, void *what)
{
    const long said = compare((*(zt_task *const *)a)->rtid.n, (*(zt_task *const *)b)->rtid.n, *(int *)what);
    return said == 1 ? -1 : said > 0; /* one that ends is equal to all: it is not asked about any more */
}

int zt_shares_learn(zt_pod *pod, zt_err *err)
{
    static const int WHAT[] = {KCMP_VM, KCMP_FILES, KCMP_FS, KCMP_SIGHAND};
    size_t count = 0;
    zt_task **all = calloc((size_t)pod->task_count + 1, sizeof *all);
    if (!all)
        return zt_fail(err, ZT_ERR_OS, ENOMEM, "no memory to see who shares what");
    for (zt_task *task = pod->tasks; task; task = task->next)
        if (task->state == ZT_TASK_REST)
            all[count++] = task;
    for (size_t kind = 0; kind < sizeof WHAT / sizeof *WHAT; kind++) {
        int what = WHAT[kind];
        qsort_r(all, count, sizeof *all, order, &what);
        for (size_t i = 0; i < count; i++) {
            int32_t *const of[] = {&all[i]->shares.memory, &all[i]->shares.files, &all[i]->shares.directory,
                                   &all[i]->shares.handlers};
            const bool same = i && compare(all[i - 1]->rtid.n, all[i]->rtid.n, what) == 0;
            *of[kind] = same ? pod->last_share : ++pod->last_share;
        }
    }
    free(all);
    return 0;
}
