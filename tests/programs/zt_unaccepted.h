/* Connections that nobody has accepted yet: what their programs share. */
#pragma once
#include "zt_message.h"

#include <poll.h>
#include <stddef.h>
#include <sys/un.h>

static inline socklen_t zt_unix_address(struct sockaddr_un *ret, const char *what, bool abstract)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(ret->sun_path, sizeof ret->sun_path, "%szt_%s.%d", abstract ? "@" : "", what,
			 (int)getpid());
	if (abstract)
		ret->sun_path[0] = 0;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n);
}

static inline int zt_listens(int type, const struct sockaddr_un *at, socklen_t size, int backlog)
{
	int fd = zt_must(socket(AF_UNIX, type, 0));
	zt_must(bind(fd, (const struct sockaddr *)at, size));
	zt_must(listen(fd, backlog));
	return fd;
}

static inline int zt_connects(int type, const struct sockaddr_un *to, socklen_t size)
{
	int fd = zt_must(socket(AF_UNIX, type, 0));
	zt_must(connect(fd, (const struct sockaddr *)to, size));
	return fd;
}

static inline pid_t zt_peer_of(int fd)
{
	struct ucred peer;
	zt_must(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &(socklen_t){sizeof peer}));
	return peer.pid;
}

static inline void zt_through(int from, int to, const char *text)
{
	zt_writes(from, text);
	zt_reads(to, text);
}

/* A message with a descriptor, or -1, and the process that has sent it, or 0. */
static inline int zt_receives(int from, const char *wanted, pid_t *ret_sender)
{
	char text[64] = {0}, control[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))] = {0};
	struct iovec data = {text, sizeof text};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof control};
	int fd = -1;
	struct ucred sender = {0};
	zt_same(recvmsg(from, &message, MSG_DONTWAIT), strlen(wanted));
	zt_check(strcmp(text, wanted) == 0);
	for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
		if (head->cmsg_type == SCM_RIGHTS)
			memcpy(&fd, CMSG_DATA(head), sizeof fd);
		if (head->cmsg_type == SCM_CREDENTIALS)
			memcpy(&sender, CMSG_DATA(head), sizeof sender);
	}
	if (ret_sender)
		*ret_sender = sender.pid;
	return fd;
}

static inline void zt_nobody_waits(int listener)
{
	int flags = zt_must(fcntl(listener, F_GETFL));
	zt_must(fcntl(listener, F_SETFL, flags | O_NONBLOCK));
	zt_check(accept(listener, NULL, NULL) == -1);
	zt_same(errno, EAGAIN);
	zt_must(fcntl(listener, F_SETFL, flags));
}
