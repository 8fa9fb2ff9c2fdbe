#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_SIZE = 96 };

static const char *path_of(int32_t id, const char *name, char path[PATH_SIZE])
{
    if (id == ZT_PROC_SELF)
        snprintf(path, PATH_SIZE, "/proc/self/%s", name);
    else
        snprintf(path, PATH_SIZE, "/proc/%d/%s", id, name);
    return path;
}

int zt_proc_read(int32_t id, const char *name, char *ret, size_t size)
{
    char path[PATH_SIZE];
    size_t length = 0;
    ssize_t got = 0;
    int fd = open(path_of(id, name, path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    /* Some files come a line at a time (sched, fdinfo of an epoll). */
    while (length < size - 1 && (got = read(fd, ret + length, size - 1 - length)) > 0)
        length += (size_t)got;
    int error = errno;
    close(fd);
    errno = error;
    ret[length] = 0;
    return got < 0 ? -1 : 0;
}

int zt_proc_link(int32_t id, const char *name, char *ret, size_t size)
{
    char path[PATH_SIZE];
    ssize_t length = readlink(path_of(id, name, path), ret, size - 1);
    if (length < 0)
        return -1;
    ret[length] = 0;
    return 0;
}

int zt_proc_resolve(int32_t id, const char *path, bool follow, char *ret, size_t size)
{
    static const char *const OWN[][2] = {
        {"/proc/self/", ""}, {"/proc/thread-self/", ""}, {"/dev/fd/", "fd/"}, {NULL, NULL}};
    char from[PATH_SIZE], whole[PATH_MAX + PATH_SIZE];
    const char *name = "cwd/", *rest = path;
    for (size_t i = 0; OWN[i][0]; i++)
        if (strncmp(path, OWN[i][0], strlen(OWN[i][0])) == 0) {
            name = OWN[i][1];
            rest = path + strlen(OWN[i][0]);
        }
    const bool absolute = rest == path && *path == '/';
    snprintf(whole, sizeof whole, "%s%s", absolute ? "" : path_of(id, name, from), rest);
    int fd = open(whole, O_PATH | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW));
    if (fd < 0)
        return -1;
    int failed = zt_proc_fd_link(ZT_PROC_SELF, fd, ret, size), error = errno;
    close(fd);
    errno = error;
    return failed;
}

FILE *zt_proc_open(int32_t id, const char *name)
{
    char path[PATH_SIZE];
    return fopen(path_of(id, name, path), "re");
}

int zt_proc_memory(int32_t id)
{
    char path[PATH_SIZE];
    return open(path_of(id, "mem", path), O_RDONLY | O_CLOEXEC);
}

const char *zt_proc_value(const char *text, const char *key)
{
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, length) == 0 && line[length] == ':')
            return line + length + 1;
    }
    return NULL;
}

/* The field of this number in the text of a stat, from the third on; the name may hold anything. */
static const char *field_of(const char *text, int number)
{
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < number; field++)
        at = strchr(at + 1, ' ');
    return at;
}

bool zt_proc_get_stat(int32_t id, zt_proc_stat *ret)
{
    enum { STATE = 3, USER = 14, CPU = 39 };
    char text[1024], name[32];
    /* stat itself would add up the times of all threads. */
    snprintf(name, sizeof name, "task/%d/stat", id);
    if (zt_proc_read(id, name, text, sizeof text))
        return false;
    const char *state = field_of(text, STATE), *user = field_of(text, USER), *cpu = field_of(text, CPU);
    return state && sscanf(state, " %c %d", &ret->state, &ret->parent) == 2 && user &&
           sscanf(user, "%lu", &ret->user_ticks) == 1 && cpu && sscanf(cpu, "%d", &ret->cpu) == 1;
}

bool zt_proc_get_ticks(int32_t id, int64_t ret[4])
{
    enum { USER = 14 };
    char text[1024];
    const char *user = zt_proc_read(id, "stat", text, sizeof text) ? NULL : field_of(text, USER);
    return user && sscanf(user, "%ld %ld %ld %ld", &ret[0], &ret[1], &ret[2], &ret[3]) == 4;
}

int zt_proc_fd_info(int32_t id, int fd, char *ret, size_t size)
{
    char name[32];
    snprintf(name, sizeof name, "fdinfo/%d", fd);
    return zt_proc_read(id, name, ret, size);
}

int zt_proc_fd_link(int32_t id, int fd, char *ret, size_t size)
{
    char name[32];
    snprintf(name, sizeof name, "fd/%d", fd);
    return zt_proc_link(id, name, ret, size);
}

int zt_proc_fd_of(const char *path)
{
    const char *name = strrchr(path, '/');
    if (strncmp(path, "/proc/", 6) && strncmp(path, "/dev/fd/", 8))
        return -1;
    return name - path >= 3 && !memcmp(name - 3, "/fd", 3) ? atoi(name + 1) : -1;
}

DIR *zt_proc_open_fds(int32_t id)
{
    char path[PATH_SIZE];
    return opendir(path_of(id, "fd", path));
}

DIR *zt_proc_open_threads(int32_t id)
{
    char path[PATH_SIZE];
    return opendir(path_of(id, "task", path));
}

bool zt_proc_is_open(void)
{
    char scope = '0';
    int fd = open("/proc/sys/kernel/yama/ptrace_scope", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    const bool told = read(fd, &scope, 1) == 1;
    close(fd);
    return told && scope == '0';
}

/* struct linux_dirent64, getdents64(2). */
typedef struct entry {
    uint64_t ino;
    int64_t off;
    uint16_t size;
    uint8_t type;
    char name[];
} entry;

int zt_proc_open_all(void)
{
    return open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int zt_proc_open_threads_of(int32_t id)
{
    char path[PATH_SIZE];
    return open(path_of(id, "task", path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int zt_proc_each(int all, int (*is)(void *context, int32_t id), void *context)
{
    _Alignas(entry) char read[4096];
    int found = 0;
    lseek(all, 0, SEEK_SET);
    for (long got; (got = syscall(SYS_getdents64, all, read, sizeof read)) > 0;)
        for (long at = 0; at < got; at += ((entry *)(read + at))->size) {
            char *end;
            const long id = strtol(((entry *)(read + at))->name, &end, 10);
            if (!*end && id > 0)
                found += is(context, (int32_t)id);
        }
    return found;
}

void zt_proc_close_all(int first, int but)
{
    _Alignas(entry) char read[2048];
    int below = but > first ? but - 1 : first - 1;
    if ((below < first || !syscall(SYS_close_range, first, below, 0)) &&
        !syscall(SYS_close_range, but < first ? first : but + 1, ~0U, 0))
        return;
    /* Profiles of containers deny it that are older than it; readdir(3) could want memory. */
    int all = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (long got; all >= 0 && (got = syscall(SYS_getdents64, all, read, sizeof read)) > 0;)
        for (long at = 0; at < got; at += ((entry *)(read + at))->size) {
            char *end;
            long fd = strtol(((entry *)(read + at))->name, &end, 10);
            if (!*end && fd >= first && fd != but && fd != all)
                close((int)fd);
        }
    if (all >= 0)
        close(all);
}

/* The kernel's struct statx. Some C libraries have one and some do not, and <linux/stat.h> cannot
 * stand beside those that do. */
typedef struct kernel_statx {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, uid, gid;
    uint16_t mode;
    uint64_t inode, size, blocks, attributes_mask, times[4][2];
    uint32_t rdev_major, rdev_minor, major, minor;
    uint64_t rest[14];
} kernel_statx;
_Static_assert(sizeof(kernel_statx) == 256 && offsetof(kernel_statx, rdev_major) == 128, "as in linux/stat.h");

static int ask(int32_t id, int fd, unsigned wanted, kernel_statx *ret)
{
    char name[32], path[PATH_SIZE];
    snprintf(name, sizeof name, "fd/%d", fd);
    return (int)syscall(SYS_statx, AT_FDCWD, path_of(id, name, path), AT_STATX_DONT_SYNC, wanted, ret);
}

int zt_proc_fd_kind(int32_t id, int fd, zt_proc_kind *ret)
{
    enum { TYPE = 1 }; /* STATX_TYPE */
    kernel_statx file;
    if (ask(id, fd, TYPE, &file))
        return -1;
    *ret = (zt_proc_kind){file.mode & S_IFMT, file.rdev_major, file.rdev_minor};
    return 0;
}

int zt_proc_fd_file(int32_t id, int fd, zt_proc_file *ret)
{
    enum { INODE = 0x100, BORN = 0x800, OF_BIRTH = 1 }; /* STATX_INO, STATX_BTIME */
    const int64_t second = 1000000000;
    kernel_statx file;
    if (ask(id, fd, INODE | BORN, &file))
        return -1;
    const int64_t ns = (uint32_t)file.times[OF_BIRTH][1];
    const int64_t born = file.mask & BORN ? (int64_t)file.times[OF_BIRTH][0] * second + ns : 0;
    *ret = (zt_proc_file){file.inode, file.major, file.minor, born};
    return 0;
}

bool zt_proc_has_ended(int32_t id)
{
    zt_proc_stat stat;
    return !zt_proc_get_stat(id, &stat) || stat.state == 'Z' || stat.state == 'X';
}
