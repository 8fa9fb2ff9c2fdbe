/* recv on socket pairs, with and without a time limit, blocked while the pod is frozen. */
#include "zt_blocked.h"

#include <sys/socket.h>
#include <sys/time.h>

static int s[2], limited[2];

static void *waits_in_vain(void *arg)
{
	char byte;
	int64_t start = zt_now_ns(CLOCK_MONOTONIC);
	zt_check(recv(limited[0], &byte, 1, 0) == -1 && errno == EAGAIN);
	zt_check(zt_now_ns(CLOCK_MONOTONIC) - start >= 790 * ZT_MS);
	return arg;
}

static void blocks(void)
{
	pthread_t other;
	char text[16] = {0};
	zt_same(pthread_create(&other, NULL, waits_in_vain, NULL), 0);
	zt_same(recv(s[0], text, 7, MSG_WAITALL), 7);
	zt_check(strcmp(text, "message") == 0);
	zt_same(pthread_join(other, NULL), 0);
}

static void frees(void)
{
	zt_writes(s[1], "mess");
	zt_sleep_ns(20 * ZT_MS);
	zt_writes(s[1], "age");
}

int main(void)
{
	struct timeval limit = {0, 800000};
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, limited));
	zt_must(setsockopt(limited[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
	return zt_blocked(blocks, frees);
}
