/* Messages over a unix socket that carry something beside their bytes. */
#pragma once
#include "zt_test.h"

#include <sys/socket.h>

/* sendmsg(2) with one control message of SOL_SOCKET. */
static inline ssize_t zt_send_beside(int to, const void *data, size_t size, int type, const void *beside,
				     size_t beside_size, int flags)
{
	char control[CMSG_SPACE(64)] __attribute__((aligned(8))) = {0};
	struct iovec part = {(void *)(uintptr_t)data, size};
	struct msghdr message = {.msg_iov = &part,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = CMSG_SPACE(beside_size)};
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = type;
	head->cmsg_len = CMSG_LEN(beside_size);
	memcpy(CMSG_DATA(head), beside, beside_size);
	return sendmsg(to, &message, flags);
}
