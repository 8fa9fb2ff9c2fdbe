/* A write to a stream socket that is full waits for its reader, however it was filled. */
#include "zt_blocked.h"

#include <sys/socket.h>

enum { WAYS = 4 };
static const size_t sizes[WAYS] = {4096, 100, 20000, 1 << 16};
static int ends[WAYS][2];
static size_t filled[WAYS];
static atomic_int through;
static char data[1 << 16];

static void fill_up(int way)
{
	ssize_t n;
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends[way]));
	zt_must(fcntl(ends[way][1], F_SETFL, O_NONBLOCK));
	for (size_t size = sizes[way]; size; size /= 2)
		while ((n = write(ends[way][1], data, size)) > 0)
			filled[way] += (size_t)n;
	zt_must(fcntl(ends[way][1], F_SETFL, 0));
}

static void *write_one(void *arg)
{
	zt_same(write(ends[(intptr_t)arg][1], "x", 1), 1);
	atomic_fetch_add(&through, 1);
	return NULL;
}

static void blocks(void)
{
	pthread_t thread[WAYS];
	for (intptr_t i = 0; i < WAYS; i++)
		zt_same(pthread_create(&thread[i], NULL, write_one, (void *)i), 0);
	for (int i = 0; i < WAYS; i++)
		zt_same(pthread_join(thread[i], NULL), 0);
}

static void frees(void)
{
	zt_same(atomic_load(&through), 0);
	for (int i = 0; i < WAYS; i++)
		for (size_t left = filled[i] + 1; left;)
			left -= (size_t)zt_must(read(ends[i][0], data, left < sizeof data ? left : sizeof data));
}

int main(void)
{
	for (int i = 0; i < WAYS; i++)
		fill_up(i);
	return zt_blocked(blocks, frees);
}
