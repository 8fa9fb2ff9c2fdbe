/* Thousands of sockets that were bound to relative paths, and closed; the first and the last are there
 * still, the first only in the queue of another. */
#include "zt_test.h"

#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { MANY = 3000 };

static int bound(int number)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	snprintf(at.sun_path, sizeof at.sun_path, "zt_many.%d.%d", (int)getpid(), number);
	int fd = zt_must(socket(AF_UNIX, SOCK_DGRAM, 0));
	zt_must(bind(fd, (struct sockaddr *)&at, sizeof at));
	return fd;
}

static void reach(int number, int receiver)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	int fd = zt_must(socket(AF_UNIX, SOCK_DGRAM, 0));
	snprintf(at.sun_path, sizeof at.sun_path, "zt_many.%d.%d", (int)getpid(), number);
	zt_same(sendto(fd, "hello", 5, 0, (struct sockaddr *)&at, sizeof at), 5);
	zt_reads(receiver, "hello");
	close(fd);
	zt_must(unlink(at.sun_path));
}

int main(void)
{
	char place[PATH_MAX];
	int pair[2], last = -1;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = {.head = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
	struct iovec iov = {.iov_base = "f", .iov_len = 1};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
	};
	zt_check(getcwd(place, sizeof place) != NULL);
	zt_must(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
	int first = bound(0);
	memcpy(CMSG_DATA(&control.head), &first, sizeof first);
	zt_same(sendmsg(pair[0], &message, 0), 1);
	close(first);
	for (int i = 1; i < MANY; i++) {
		if (last >= 0) {
			char path[64];
			snprintf(path, sizeof path, "zt_many.%d.%d", (int)getpid(), i - 1);
			zt_must(close(last));
			zt_must(unlink(path));
		}
		last = bound(i);
	}
	zt_must(chdir("/"));

	zt_ready();

	zt_must(chdir(place));
	reach(MANY - 1, last);
	message.msg_controllen = sizeof control;
	char byte;
	iov.iov_base = &byte;
	zt_same(recvmsg(pair[1], &message, 0), 1);
	memcpy(&first, CMSG_DATA(&control.head), sizeof first);
	reach(0, first);
	return zt_pass();
}
