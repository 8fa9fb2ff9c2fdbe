#include "seen.h"

#include <stdio.h>
#include <string.h>

#include "../../base/proc.h"

enum { NS_PER_MS = 1000000 };

bool zt_seen_call(int32_t rtid, long *ret_nr, uint64_t ret_args[6])
{
    char text[256];
    uint64_t *a = ret_args;
    return !zt_proc_read(rtid, "syscall", text, sizeof text) &&
           sscanf(text, "%ld %lx %lx %lx %lx %lx %lx", ret_nr, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]) == 7;
}

bool zt_seen_where(int32_t rtid, char *ret, size_t size)
{
    return !zt_proc_read(rtid, "wchan", ret, size) && *ret && strcmp(ret, "0") != 0;
}

/* A span or a moment of the scheduler's, in ns. 0: not told. */
static int64_t sched_value(int32_t rtid, const char *key)
{
    char text[1024];
    int64_t ms;
    long fraction;
    if (zt_proc_read(rtid, "sched", text, sizeof text))
        return 0;
    const char *line = strstr(text, key);
    if (!line || !(line = strchr(line, ':')) || sscanf(line + 1, " %ld.%ld", &ms, &fraction) != 2)
        return 0;
    return ms * NS_PER_MS + fraction;
}

int64_t zt_seen_exec_start(int32_t rtid)
{
    return sched_value(rtid, "se.exec_start");
}

int64_t zt_seen_cpu_time(int32_t rtid)
{
    return sched_value(rtid, "se.sum_exec_runtime");
}

int zt_seen_cpu(int32_t rtid)
{
    zt_proc_stat stat;
    return zt_proc_get_stat(rtid, &stat) ? stat.cpu : -1;
}

bool zt_seen_signals(int32_t rtid, zt_signal_sets *ret)
{
    char text[4096];
    if (zt_proc_read(rtid, "status", text, sizeof text))
        return false;
    const struct {
        const char *key;
        uint64_t *into;
    } fields[] = {{"SigPnd", &ret->own},
                  {"ShdPnd", &ret->shared},
                  {"SigBlk", &ret->blocked},
                  {"SigIgn", &ret->ignored},
                  {"SigCgt", &ret->caught}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *value = zt_proc_value(text, fields[i].key);
        if (!value || sscanf(value, "%lx", fields[i].into) != 1)
            return false;
    }
    return true;
}

bool zt_seen_descriptor(int32_t rtid, int fd, zt_seen_fd *ret)
{
    char text[256];
    zt_proc_kind file;
    unsigned flags;
    if (zt_proc_fd_kind(rtid, fd, &file) || zt_proc_fd_info(rtid, fd, text, sizeof text))
        return false;
    const char *value = zt_proc_value(text, "flags");
    if (!value || sscanf(value, " %o", &flags) != 1)
        return false;
    *ret = (zt_seen_fd){file.type, file.major, file.minor, (int)flags};
    return true;
}
