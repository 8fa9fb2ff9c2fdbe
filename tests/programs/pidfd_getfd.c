/* Descriptors of another process, fetched by its pidfd (pidfd_getfd). */
#include "zt_pidfd.h"

int main(void)
{
	int p[2], go[2];
	char byte;
	zt_must(pipe(go));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_must(pipe(p));
		zt_must(dup2(p[1], 50));
		zt_must(close(p[1]));
		zt_must(close(go[1]));
		zt_reads(p[0], "fetched");
		_exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
	}
	zt_must(close(go[0]));
	int pidfd = zt_must(zt_pidfd(child, 0));

	zt_ready();

	int fetched;
	while ((fetched = (int)syscall(SYS_pidfd_getfd, pidfd, 50, 0)) == -1 && errno == EBADF)
		zt_sleep_ns(ZT_MS); /* it may not have got that far */
	zt_must(fetched);
	zt_same(fcntl(fetched, F_GETFD), FD_CLOEXEC);
	zt_writes(fetched, "fetched");
	zt_check(syscall(SYS_pidfd_getfd, pidfd, 51, 0) == -1 && errno == EBADF);
	zt_must(close(go[1]));
	zt_join(child);
	zt_check(syscall(SYS_pidfd_getfd, pidfd, 50, 0) == -1 && errno == ESRCH);
	return zt_pass();
}
