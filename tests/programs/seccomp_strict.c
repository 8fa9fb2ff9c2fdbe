/* Strict mode: read, write, exit and sigreturn, and SIGKILL for all else. */
#include "zt_seccomp.h"

#define STRICT syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL)

static char buffer[8];
static int in[2], out[2];

static void serve(void)
{
	zt_must(STRICT);
	while (read(in[0], buffer, 1) == 1)
		if (write(out[1], buffer, 1) != 1)
			break;
	syscall(SYS_exit, 3);
}

int main(void)
{
	char answer;
	int status;
	zt_must(pipe(in));
	zt_must(pipe(out));
	pid_t server = zt_must(fork());
	if (!server) {
		close(in[1]);
		serve();
	}
	close(in[0]);
	zt_writes(in[1], "a");
	zt_same(read(out[0], &answer, 1), 1);

	zt_ready();

	zt_writes(in[1], "b");
	zt_same(read(out[0], &answer, 1), 1);
	zt_same(answer, 'b');
	close(in[1]);
	zt_same(waitpid(server, &status, 0), server);
	zt_same(status, 3 << 8);
	zt_same(zt_ends(zt_must(STRICT); syscall(SYS_getpid)), SIGKILL);
	zt_same(zt_ends(zt_must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT)); syscall(SYS_exit_group, 0)), SIGKILL);
	zt_same(zt_ends(zt_must(STRICT); syscall(SYS_exit, 5)), 5 << 8);
	return zt_pass();
}
