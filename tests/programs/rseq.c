/* Restartable sequences, as the C library registers them: the cpu number in memory stays live. */
#include "zt_test.h"

#include <sched.h>
#include <sys/syscall.h>

#if defined(__GLIBC__) && __has_include(<sys/rseq.h>)
#include <sys/rseq.h>

int main(void)
{
	if (__rseq_size == 0) /* this kernel or this C library has none */
		return zt_ready(), zt_pass();
	struct rseq *area = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);

	zt_ready();

	cpu_set_t all, one;
	zt_must(sched_getaffinity(0, sizeof all, &all));
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &all))
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		zt_must(sched_setaffinity(0, sizeof one, &one));
		zt_same(*(volatile uint32_t *)&area->cpu_id, cpu);
	}
	/* Registering the same area twice is refused, so the kernel still has it. */
	zt_check(syscall(SYS_rseq, area, sizeof *area, 0, RSEQ_SIG) == -1 &&
		 (errno == EBUSY || errno == EINVAL));
	return zt_pass();
}
#else
int main(void)
{
	zt_ready();
	return zt_pass();
}
#endif
