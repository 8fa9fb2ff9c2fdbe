/* Threads that accept at once what has waited for them: each connection comes to one of them. */
#include "zt_unaccepted.h"

#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 3, EACH = 3, ALL = THREADS * EACH };

static int listener;
static atomic_int seen[ALL];
static pthread_barrier_t together;

static void *accepts(void *unused)
{
	pthread_barrier_wait(&together);
	for (int i = 0; i < EACH; i++) {
		unsigned char number;
		int fd = zt_must(accept(listener, NULL, NULL));
		zt_same(read(fd, &number, 1), 1);
		zt_check(number < ALL);
		zt_same(atomic_fetch_add(&seen[number], 1), 0);
		zt_must(close(fd));
	}
	return unused;
}

int main(void)
{
	struct sockaddr_un at;
	const socklen_t size = zt_unix_address(&at, "threads", false);
	int clients[ALL];
	pthread_t threads[THREADS];
	listener = zt_listens(SOCK_STREAM, &at, size, ALL);
	zt_same(pthread_barrier_init(&together, NULL, THREADS), 0);
	for (int i = 0; i < ALL; i++) {
		clients[i] = zt_connects(SOCK_STREAM, &at, size);
		zt_same(write(clients[i], &(unsigned char){(unsigned char)i}, 1), 1);
	}

	zt_ready();

	for (int i = 0; i < THREADS; i++)
		zt_same(pthread_create(&threads[i], NULL, accepts, NULL), 0);
	for (int i = 0; i < THREADS; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	for (int i = 0; i < ALL; i++) {
		zt_same(seen[i], 1);
		zt_reads(clients[i], "");
	}
	zt_nobody_waits(listener);
	zt_must(unlink(at.sun_path));
	return zt_pass();
}
