/* What /proc tells of a process or thread. The only reader of it: a tracee can die at any moment, so
 * each of these may find nothing, and says so. */
#pragma once
#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { ZT_PROC_SELF = 0 };

/* The text of /proc/ID/NAME, 0-terminated, as far as it fits. 0, or -1 with errno. */
int zt_proc_read(int32_t id, const char *name, char *ret, size_t size);
/* Where the link /proc/ID/NAME points, 0-terminated, as far as it fits. 0, or -1 with errno. */
int zt_proc_link(int32_t id, const char *name, char *ret, size_t size);
/* Where a path of a process leads, by names of this host's: the end of it, too, if `follow`. What it opens for
 * that causes no event. 0, or -1 with errno. */
int zt_proc_resolve(int32_t id, const char *path, bool follow, char *ret, size_t size);
/* To read by line what may be long. NULL with errno. */
FILE *zt_proc_open(int32_t id, const char *name);

/* The memory of a process, to pread; it need not be readable to the process. -1 with errno. */
int zt_proc_memory(int32_t id);

/* What follows "KEY:" at the start of a line, or NULL. */
const char *zt_proc_value(const char *text, const char *key);

/* Of a thread's stat, proc_pid_stat(5). */
typedef struct zt_proc_stat {
    char state;
    int32_t parent;
    uint64_t user_ticks; /* its time in user mode, in 1/sysconf(_SC_CLK_TCK) s */
    int32_t cpu; /* that it ran on last */
} zt_proc_stat;
bool zt_proc_get_stat(int32_t id, zt_proc_stat *ret); /* false: there is no such thread */
/* What a process has used, and those of its children that it has waited for, in 1/sysconf(_SC_CLK_TCK) s:
 * user, system, children's user, children's system. False: there is no such process. */
bool zt_proc_get_ticks(int32_t id, int64_t ret[4]);
bool zt_proc_has_ended(int32_t id);                   /* there is no such thread, or it is dead */

/* As /proc/ID/fdinfo/FD and fd/FD, of the descriptor `fd`. */
int zt_proc_fd_info(int32_t id, int fd, char *ret, size_t size);
int zt_proc_fd_link(int32_t id, int fd, char *ret, size_t size);
/* All processes of the host: /proc, opened; or all threads of one, /proc/ID/task; and how many `is` says 1 of.
 * Async-signal-safe. */
int zt_proc_open_all(void);
int zt_proc_open_threads_of(int32_t id);
int zt_proc_each(int all, int (*is)(void *context, int32_t id), void *context);
/* /proc/ID/task, to be listed. NULL with errno. */
DIR *zt_proc_open_threads(int32_t id);
/* May a process look into another that is no descendant of it, as far as Yama decides that? */
bool zt_proc_is_open(void);
/* The descriptor N that a program means by /proc/self/fd/N and its like; -1: the path is none such. */
int zt_proc_fd_of(const char *path);
/* /proc/ID/fd, to be listed. NULL with errno. */
DIR *zt_proc_open_fds(int32_t id);
/* Close all of our descriptors from `first` on but one (-1: none); in a child of a process with threads, too. */
void zt_proc_close_all(int first, int but);
/* Type and device of what it is of. No file system is asked, as the process that serves it may be
 * frozen. 0, or -1 with errno. */
typedef struct zt_proc_kind {
    uint32_t type; /* S_IFMT's bits of the mode */
    uint32_t major, minor;
} zt_proc_kind;
int zt_proc_fd_kind(int32_t id, int fd, zt_proc_kind *ret);
/* Which file it is of, also one that gets its number later; asked in the same way. 0, or -1 with errno. */
typedef struct zt_proc_file {
    uint64_t inode;
    uint32_t major, minor;
    int64_t born_ns; /* 0: not known */
} zt_proc_file;
int zt_proc_fd_file(int32_t id, int fd, zt_proc_file *ret);
