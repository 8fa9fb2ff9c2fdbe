#include "seen.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NS_PER_MS = 1000000 };

static int read_proc(int32_t rtid, const char *name, char *ret, size_t size)
{
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/%s", rtid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t got = read(fd, ret, size - 1);
    close(fd);
    if (got < 0)
        return -1;
    ret[got] = 0;
    return 0;
}

bool zt_seen_call(int32_t rtid, long *ret_nr, uint64_t ret_args[6])
{
    char text[256];
    uint64_t *a = ret_args;
    return !read_proc(rtid, "syscall", text, sizeof text) &&
           sscanf(text, "%ld %lx %lx %lx %lx %lx %lx", ret_nr, &a[0], &a[1], &a[2], &a[3], &a[4], &a[5]) == 7;
}

int64_t zt_seen_exec_start(int32_t rtid)
{
    char text[1024];
    int64_t ms;
    long fraction;
    if (read_proc(rtid, "sched", text, sizeof text))
        return 0;
    const char *line = strstr(text, "se.exec_start");
    if (!line || !(line = strchr(line, ':')) || sscanf(line + 1, " %ld.%ld", &ms, &fraction) != 2)
        return 0;
    return ms * NS_PER_MS + fraction;
}

int zt_seen_cpu(int32_t rtid)
{
    char text[1024];
    int cpu = -1;
    if (read_proc(rtid, "stat", text, sizeof text))
        return -1;
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 39; field++) /* proc(5): field 39 is the processor */
        at = strchr(at + 1, ' ');
    return at && sscanf(at, "%d", &cpu) == 1 ? cpu : -1;
}

bool zt_seen_signals(int32_t rtid, zt_signal_sets *ret)
{
    char text[4096];
    if (read_proc(rtid, "status", text, sizeof text))
        return false;
    const struct {
        const char *key;
        uint64_t *into;
    } fields[] = {{"SigPnd:", &ret->own},
                  {"ShdPnd:", &ret->shared},
                  {"SigBlk:", &ret->blocked},
                  {"SigIgn:", &ret->ignored},
                  {"SigCgt:", &ret->caught}};
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        const char *at = strstr(text, fields[i].key);
        if (!at || sscanf(at + strlen(fields[i].key), "%lx", fields[i].into) != 1)
            return false;
    }
    return true;
}

bool zt_seen_descriptor(int32_t rtid, int fd, zt_seen_fd *ret)
{
    char path[48], text[256];
    struct statx file;
    unsigned flags;
    snprintf(path, sizeof path, "/proc/%d/fd/%d", rtid, fd);
    /* No file system is asked: the process that serves it may be frozen. */
    if (statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_TYPE, &file))
        return false;
    snprintf(path, sizeof path, "fdinfo/%d", fd);
    if (read_proc(rtid, path, text, sizeof text))
        return false;
    const char *line = strstr(text, "flags:");
    if (!line || sscanf(line + 6, " %o", &flags) != 1)
        return false;
    *ret = (zt_seen_fd){file.stx_mode & S_IFMT, file.stx_rdev_major, file.stx_rdev_minor, (int)flags};
    return true;
}
