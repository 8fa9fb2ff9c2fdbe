/* What programs about pidfds share. The numbers are literal: headers may be older than the kernel. */
#ifndef ZT_PIDFD_H
#define ZT_PIDFD_H

#include "zt_test.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

enum { ZT_THREAD = O_EXCL };                        /* PIDFD_THREAD */
enum { ZT_INFO_PID = 1 << 0, ZT_INFO_EXIT = 1 << 3 }; /* PIDFD_INFO_* */

struct zt_info { /* struct pidfd_info, as it first was */
	uint64_t mask, cgroup;
	uint32_t pid, tgid, ppid, ids[8];
	int32_t exit_code;
};

__attribute__((unused)) static int zt_pidfd(pid_t pid, unsigned flags)
{
	return (int)syscall(SYS_pidfd_open, pid, flags);
}

__attribute__((unused)) static int zt_pidfd_kill(int fd, int signal)
{
	return (int)syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0);
}

/* PIDFD_GET_INFO; false where the kernel has none of it to tell. */
__attribute__((unused)) static bool zt_pidfd_info(int fd, uint64_t ask, struct zt_info *ret)
{
	*ret = (struct zt_info){.mask = ask};
	return ioctl(fd, _IOWR(0xFF, 11, struct zt_info), ret) == 0 && ret->mask & ask;
}

/* The line of its fdinfo that names the process. */
__attribute__((unused)) static long zt_pidfd_shown(int fd)
{
	char path[64], text[1024] = "", *line;
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
	int info = zt_must(open(path, O_RDONLY | O_CLOEXEC));
	zt_must(read(info, text, sizeof text - 1));
	zt_must(close(info));
	zt_check((line = strstr(text, "\nPid:")) != NULL);
	return strtol(line + 5, NULL, 10);
}

__attribute__((unused)) static int zt_polled(int fd)
{
	struct pollfd asked = {.fd = fd, .events = POLLIN};
	zt_must(poll(&asked, 1, 0));
	return asked.revents;
}

__attribute__((unused)) static ino_t zt_inode(int fd)
{
	struct stat status;
	zt_must(fstat(fd, &status));
	return status.st_ino;
}

/* Before Linux 6.9 all pidfds have one inode. */
__attribute__((unused)) static bool zt_inodes_differ(int fd, int other)
{
	return zt_inode(fd) != zt_inode(other);
}

#endif
