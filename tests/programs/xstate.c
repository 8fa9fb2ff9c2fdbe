/* zt-cc: -O2
 * Vector registers, flags and the x87 and SSE control words of a loop that makes no system call. */
#include "zt_test.h"

#include <pthread.h>
#include <stdatomic.h>

static atomic_int stop, running;

#if defined(__x86_64__)
/* Loads known values, then spins until *stop without touching them; returns what they are. */
__attribute__((target("avx"), noinline)) static void spin(const double in[64], double out[64],
							   atomic_int *until)
{
	__asm__ volatile("vmovupd 0(%0), %%ymm0\n vmovupd 32(%0), %%ymm1\n"
			 "vmovupd 64(%0), %%ymm7\n vmovupd 96(%0), %%ymm15\n"
			 "fldl 128(%0)\n"
			 "1: pause\n cmpl $0, (%2)\n je 1b\n"
			 "vmovupd %%ymm0, 0(%1)\n vmovupd %%ymm1, 32(%1)\n"
			 "vmovupd %%ymm7, 64(%1)\n vmovupd %%ymm15, 96(%1)\n"
			 "fstpl 128(%1)\n"
			 :
			 : "r"(in), "r"(out), "r"(until)
			 : "memory", "xmm0", "xmm1", "xmm7", "xmm15", "cc");
}
#endif

static void *work(void *arg)
{
	double in[64], out[64] = {0};
	unsigned control = 0x7f80, now = 0; /* round towards zero, all exceptions masked */
	(void)arg;
	for (int i = 0; i < 64; i++)
		in[i] = i * 1.25 + 0.5;
#if defined(__x86_64__)
	__asm__ volatile("ldmxcsr %0" : : "m"(control));
	atomic_store(&running, 1);
	if (__builtin_cpu_supports("avx"))
		spin(in, out, &stop);
	else
		memcpy(out, in, sizeof in);
	__asm__ volatile("stmxcsr %0" : "=m"(now));
	zt_same(now & ~0x3fU, control);
	zt_check(memcmp(in, out, 17 * sizeof *in) == 0);
#else
	(void)out, (void)now, (void)control;
	atomic_store(&running, 1);
#endif
	return NULL;
}

int main(void)
{
	pthread_t thread;
	zt_same(pthread_create(&thread, NULL, work, NULL), 0);
	while (!atomic_load(&running))
		zt_sleep_ns(ZT_MS);

	zt_ready();

	zt_sleep_ns(20 * ZT_MS);
	atomic_store(&stop, 1);
	zt_same(pthread_join(thread, NULL), 0);
	return zt_pass();
}
