/* An orphan, whose session's leader was its parent and has ended, shares anonymous memory with us. */
#include "zt_test.h"

#include <sys/mman.h>

int main(void)
{
	volatile int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int said[2], go[2];
	char byte;
	zt_check(shared != MAP_FAILED);
	zt_must(pipe(said));
	zt_must(pipe(go));
	*shared = 1;
	pid_t between = zt_must(fork());
	if (between == 0) {
		zt_must(setsid());
		pid_t was = getpid();
		if (zt_must(fork()) == 0) {
			close(go[1]);
			while (getppid() == was)
				zt_sleep_ns(ZT_MS);
			zt_writes(said[1], "a");
			if (read(go[0], &byte, 1) != 1)
				_exit(1);
			zt_same(*shared, 2);
			*shared = 3;
			zt_writes(said[1], "b");
			_exit(0);
		}
		_exit(0);
	}
	zt_join(between);
	zt_same(read(said[0], &byte, 1), 1);

	zt_ready();

	zt_same(*shared, 1);
	*shared = 2;
	zt_writes(go[1], "c");
	zt_same(read(said[0], &byte, 1), 1);
	zt_same(*shared, 3);
	return zt_pass();
}
