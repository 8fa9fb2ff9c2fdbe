/* Calls that run long, and that natively nothing but a signal cuts short, made over and over: each
 * gives all that was asked for. */
#include "zt_halfway.h"

#include <sys/mman.h>
#include <sys/random.h>
#include <sys/sendfile.h>

enum { LONG = 32 << 20 };

static atomic_int enough;
static int file, copy, sent, zero, urandom, memory;

static char *room(void)
{
	char *at = mmap(NULL, LONG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(at != MAP_FAILED);
	return at;
}

static void *by_getrandom(void *at)
{
	do
		zt_same(getrandom(at, LONG, 0), LONG);
	while (!atomic_load(&enough));
	return NULL;
}

static void *by_zero(void *at)
{
	do
		zt_same(read(zero, at, LONG), LONG);
	while (!atomic_load(&enough));
	return NULL;
}

static void *by_urandom(void *at)
{
	struct iovec halves[] = {{at, LONG / 2}, {(char *)at + LONG / 2, LONG / 2}};
	do
		zt_same(readv(urandom, halves, 2), LONG);
	while (!atomic_load(&enough));
	return NULL;
}

static void *by_copy_file_range(void *arg)
{
	do {
		off_t from = 0, to = 0;
		zt_same(copy_file_range(file, &from, copy, &to, LONG, 0), LONG);
		zt_check(from == LONG && to == LONG);
	} while (!atomic_load(&enough));
	return arg;
}

static void *by_sendfile(void *arg)
{
	do {
		off_t from = 0;
		zt_must(lseek(sent, 0, SEEK_SET));
		zt_same(sendfile(sent, file, &from, LONG), LONG);
		zt_check(from == LONG && lseek(sent, 0, SEEK_CUR) == LONG);
	} while (!atomic_load(&enough));
	return arg;
}

static void *by_fallocate(void *arg)
{
	do {
		zt_must(fallocate(memory, 0, 0, LONG));
		zt_must(ftruncate(memory, 0));
	} while (!atomic_load(&enough));
	return arg;
}

int main(void)
{
	void *(*const ways[])(void *) = {
		by_getrandom, by_zero, by_urandom, by_copy_file_range, by_sendfile, by_fallocate,
	};
	enum { COUNT = sizeof ways / sizeof *ways };
	pthread_t thread[COUNT];
	char path[64], *at = room();
	zero = zt_must(open("/dev/zero", O_RDONLY));
	urandom = zt_must(open("/dev/urandom", O_RDONLY));
	memory = zt_must(memfd_create("zt", 0));
	file = zt_file(path, sizeof path, "from");
	unlink(path);
	copy = zt_file(path, sizeof path, "copy");
	unlink(path);
	sent = zt_file(path, sizeof path, "sent");
	unlink(path);
	for (int n = 0; n < LONG; n += ZT_TOTAL)
		zt_must(write(file, zt_bytes, LONG - n < ZT_TOTAL ? LONG - n : ZT_TOTAL));
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_create(&thread[i], NULL, ways[i], i < 3 ? room() : at), 0);
	zt_sleep_ns(50 * ZT_MS);
	zt_ready();
	atomic_store(&enough, 1);
	for (int i = 0; i < COUNT; i++)
		zt_same(pthread_join(thread[i], NULL), 0);
	return zt_pass();
}
