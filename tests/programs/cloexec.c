/* The close-on-exec flag belongs to the descriptor; exec after the move tells what is left. */
#include "zt_test.h"

int main(int argc, char **argv)
{
	if (argc == 4) {
		zt_check(fcntl(atoi(argv[1]), F_GETFD) == 0);
		zt_check(fcntl(atoi(argv[2]), F_GETFD) == -1 && errno == EBADF);
		zt_reads(atoi(argv[3]), "kept");
		return zt_pass();
	}
	int kept = zt_must(open("/dev/null", O_RDONLY));
	int closed = zt_must(fcntl(kept, F_DUPFD_CLOEXEC, 0));
	int p[2];
	zt_must(pipe2(p, O_CLOEXEC));
	zt_must(fcntl(p[0], F_SETFD, 0));
	zt_writes(p[1], "kept");

	zt_ready();

	zt_same(fcntl(kept, F_GETFD), 0);
	zt_same(fcntl(closed, F_GETFD), FD_CLOEXEC);
	char a[16], b[16], c[16];
	snprintf(a, sizeof a, "%d", kept);
	snprintf(b, sizeof b, "%d", closed);
	snprintf(c, sizeof c, "%d", p[0]);
	zt_must(execl("/proc/self/exe", argv[0], a, b, c, (char *)NULL));
	return 1;
}
