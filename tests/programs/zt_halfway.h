/* The frame of a program with threads in calls that are done in part while the pod is frozen. Each
 * must answer, in the end, what it would have answered had nothing been. */
#ifndef ZT_HALFWAY_H
#define ZT_HALFWAY_H

#include "zt_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/uio.h>

typedef struct zt_way {
	void (*blocks)(void); /* makes the call and checks its result */
	void (*frees)(void);  /* makes it end, and checks what came of it */
} zt_way;

enum { ZT_MOST_WAYS = 16 };
static atomic_int zt_done[ZT_MOST_WAYS];
static const zt_way *zt_ways;

static void *zt_run_way(void *number)
{
	int i = (int)(intptr_t)number;
	zt_ways[i].blocks();
	atomic_store(&zt_done[i], 1);
	return NULL;
}

__attribute__((unused)) static void zt_none_is_done(int count)
{
	for (int i = 0; i < count; i++)
		if (atomic_load(&zt_done[i]))
			zt_fail("way %d did not wait", i);
}

__attribute__((unused)) static int zt_halfway(const zt_way *ways, int count)
{
	pthread_t thread[ZT_MOST_WAYS];
	zt_ways = ways;
	for (int i = 0; i < count; i++)
		zt_same(pthread_create(&thread[i], NULL, zt_run_way, (void *)(intptr_t)i), 0);
	zt_sleep_ns(100 * ZT_MS);
	zt_none_is_done(count);
	zt_ready();
	zt_sleep_ns(20 * ZT_MS);
	zt_none_is_done(count);
	for (int i = 0; i < count; i++) {
		ways[i].frees();
		zt_same(pthread_join(thread[i], NULL), 0);
	}
	return zt_pass();
}

/* --- what is moved: bytes of which each place is known, in pieces of uneven sizes */

enum { ZT_TOTAL = 1000000, ZT_PIECES = 8, ZT_MANY = 40 };
static char zt_bytes[ZT_TOTAL] __attribute__((aligned(4096)));

static void zt_fill(void)
{
	for (size_t i = 0; i < sizeof zt_bytes; i++)
		zt_bytes[i] = (char)(i * 13 + i / 251);
}

/* The first end is at a pipe's size, where a part of it ends; the others are not. */
__attribute__((unused)) static void zt_cut_up(struct iovec ret[ZT_PIECES], char *bytes)
{
	static const size_t sizes[ZT_PIECES] = {65536, 0, 1, 99999, 300000, 4096, 500000};
	size_t at = 0;
	for (int i = 0; i < ZT_PIECES; i++) {
		size_t size = i == ZT_PIECES - 1 ? ZT_TOTAL - at : sizes[i];
		ret[i] = (struct iovec){bytes + at, size};
		at += size;
	}
}

/* The first end is not at a pipe's size, and there are many more. */
__attribute__((unused)) static void zt_cut_up_small(struct iovec ret[ZT_MANY], char *bytes)
{
	size_t at = 0;
	for (int i = 0; i < ZT_MANY; i++) {
		size_t size = i == ZT_MANY - 1 ? ZT_TOTAL - at : i % 7 ? (size_t)i * 640 : 40000;
		ret[i] = (struct iovec){bytes + at, size};
		at += size;
	}
}

/* So many bytes can be read, and they are those; then there is no more. */
__attribute__((unused)) static void zt_drains(int fd, size_t total)
{
	static char got[ZT_TOTAL];
	size_t n = 0;
	while (n < total)
		n += (size_t)zt_must(read(fd, got + n, total - n));
	for (size_t i = 0; i < total; i++)
		if (got[i] != zt_bytes[i])
			zt_fail("byte %zu is %d, not %d", i, got[i], zt_bytes[i]);
	zt_must(fcntl(fd, F_SETFL, O_NONBLOCK));
	zt_check(read(fd, got, 1) == -1 && errno == EAGAIN);
}

#endif
