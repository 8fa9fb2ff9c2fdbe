/* A description given to another process over a socket is shared with it, and stays so. */
#include "zt_test.h"

#include <sys/socket.h>

static void give(int sock, int fd)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct iovec iov = {.iov_base = "f", .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof control,
	};
	control.head = (struct cmsghdr){
		.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS,
	};
	memcpy(CMSG_DATA(&control.head), &fd, sizeof fd);
	zt_same(sendmsg(sock, &message, 0), 1);
}

static int take(int sock)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {0};
	char byte;
	int fd;
	struct iovec iov = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = sizeof control,
	};
	zt_same(recvmsg(sock, &message, 0), 1);
	memcpy(&fd, CMSG_DATA(&control.head), sizeof fd);
	return fd;
}

int main(void)
{
	char path[64];
	int s[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	pid_t child = zt_must(fork());
	if (child == 0) {
		int fd = take(s[1]);
		zt_writes(s[1], "have it");
		zt_reads(s[1], "go");
		zt_same(lseek(fd, 0, SEEK_CUR), 3);
		zt_writes(fd, "child");
		_exit(0);
	}
	int fd = zt_file(path, sizeof path, "scm");
	zt_writes(fd, "0123456789");
	give(s[0], fd);
	zt_reads(s[0], "have it");

	zt_ready();

	zt_same(lseek(fd, 3, SEEK_SET), 3);
	zt_writes(s[0], "go");
	zt_join(child);
	zt_same(lseek(fd, 0, SEEK_CUR), 8);
	zt_must(unlink(path));
	return zt_pass();
}
