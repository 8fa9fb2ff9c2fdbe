/* Spins, making no call, with known values in its registers, until they have to be right. */
#include "zt_test.h"

#include <sys/mman.h>

int main(void)
{
	static volatile uint64_t found[6];
	const char *go = getenv("ZT_GO");
	volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(shared != MAP_FAILED && go);
	pid_t watcher = zt_must(fork());
	if (watcher == 0) {
		while (access(go, F_OK))
			usleep(10000);
		*shared = 1;
		_exit(0);
	}
	zt_writes(1, "ready\n");
	__asm__ volatile("mov $0x1111111111111111, %%rbx\n\t"
			 "mov $0x2222222222222222, %%r12\n\t"
			 "mov $0x3333333333333333, %%r13\n\t"
			 "mov $0x4444444444444444, %%r14\n\t"
			 "mov $0x5555555555555555, %%r15\n\t"
			 "mov $0x6666666666666666, %%r8\n\t"
			 "1: pause\n\t"
			 "cmpl $0, (%1)\n\t"
			 "je 1b\n\t"
			 "mov %%rbx, (%0)\n\t"
			 "mov %%r12, 8(%0)\n\t"
			 "mov %%r13, 16(%0)\n\t"
			 "mov %%r14, 24(%0)\n\t"
			 "mov %%r15, 32(%0)\n\t"
			 "mov %%r8, 40(%0)\n\t"
			 :
			 : "a"(found), "d"(shared)
			 : "rbx", "r8", "r12", "r13", "r14", "r15", "memory", "cc");
	for (uint64_t i = 0; i < 6; i++)
		zt_same(found[i], (i + 1) * 0x1111111111111111);
	zt_join(watcher);
	return zt_pass();
}
