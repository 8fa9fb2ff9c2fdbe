/* The tiles of Intel AMX, which a process asks for: what is in them, in a thread that waits and in one
 * that a signal has interrupted, and that a thread which has none yet may have them afterwards. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>

#include "zt_test.h"

#define ARCH_GET_XCOMP_PERM 0x1022
#define ARCH_REQ_XCOMP_PERM 0x1023

enum { TILE_DATA = 18, ROWS = 16, ROW = 64, TILE = ROWS * ROW };

static atomic_int there;

static void configure(void)
{
	static struct {
		uint8_t palette, start, reserved[14];
		uint16_t bytes[16];
		uint8_t rows[16];
	} config __attribute__((aligned(64))) = {
		.palette = 1, .bytes = {[2] = ROW, [5] = ROW}, .rows = {[2] = ROWS, [5] = ROWS}};
	__asm__ volatile("ldtilecfg %0" ::"m"(config));
}

static void load(unsigned char seed)
{
	unsigned char tile[TILE] __attribute__((aligned(64)));
	for (int i = 0; i < TILE; i++)
		tile[i] = (unsigned char)(seed + i * 5);
	configure();
	__asm__ volatile("tileloadd (%0,%1,1), %%tmm2" ::"r"(tile), "r"((long)ROW) : "memory");
}

/* The same bytes are there, and the other tile, which nothing was put into, holds zeros. */
static void look(unsigned char seed)
{
	unsigned char tile[TILE] __attribute__((aligned(64)));
	unsigned char other[TILE] __attribute__((aligned(64)));
	__asm__ volatile("tilestored %%tmm2, (%0,%1,1)" ::"r"(tile), "r"((long)ROW) : "memory");
	__asm__ volatile("tilestored %%tmm5, (%0,%1,1)" ::"r"(other), "r"((long)ROW) : "memory");
	__asm__ volatile("tilerelease");
	for (int i = 0; i < TILE; i++) {
		zt_same(tile[i], (unsigned char)(seed + i * 5));
		zt_same(other[i], 0);
	}
}

static void wait_in_handler(int signal)
{
	(void)signal;
	there++;
	zt_wait_go();
}

static void *interrupted(void *unused)
{
	load(7);
	zt_same(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1), 0);
	look(7);
	return unused;
}

static void *waits(void *unused)
{
	load(11);
	there++;
	zt_wait_go();
	look(11);
	return unused;
}

static void *late(void *unused)
{
	there++;
	zt_wait_go();
	load(13);
	look(13);
	return unused;
}

int main(void)
{
	void *(*const kinds[])(void *) = {interrupted, waits, late};
	pthread_t threads[3];
	uint64_t allowed = 0;
	struct sigaction action = {.sa_handler = wait_in_handler};
	zt_must(syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, TILE_DATA));
	zt_must(sigaction(SIGUSR1, &action, NULL));
	for (int i = 0; i < 3; i++)
		zt_same(pthread_create(&threads[i], NULL, kinds[i], NULL), 0);
	while (there < 3)
		zt_sleep_ns(ZT_MS);
	load(3);
	zt_ready();
	look(3);
	for (int i = 0; i < 3; i++)
		zt_same(pthread_join(threads[i], NULL), 0);
	zt_must(syscall(SYS_arch_prctl, ARCH_GET_XCOMP_PERM, &allowed));
	zt_check(allowed >> TILE_DATA & 1);
	return zt_pass();
}
