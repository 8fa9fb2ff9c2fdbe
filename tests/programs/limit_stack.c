/* RLIMIT_STACK: the stack has grown as far as it may; a child that goes further is killed. */
#include "zt_limit.h"

enum { LIMIT = 256 << 10 };

/* Touches the stack down to `bytes` below the frame of main. */
static void __attribute__((noinline)) go_down(long bytes)
{
	volatile char *frame = __builtin_alloca(ZT_PAGE);
	frame[0] = 1;
	if (bytes > ZT_PAGE)
		go_down(bytes - ZT_PAGE);
	frame[0] = 2; /* no tail call */
}

static int status_of_child(long bytes)
{
	int status;
	pid_t child = zt_must(fork());
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
		go_down(bytes);
		_exit(0);
	}
	zt_same(waitpid(child, &status, 0), child);
	return status;
}

int main(void)
{
	zt_limit(RLIMIT_STACK, LIMIT);
	go_down(LIMIT / 2);
	zt_same(WTERMSIG(status_of_child(LIMIT + ZT_PAGE)), SIGSEGV);

	zt_ready();

	zt_limited(RLIMIT_STACK, LIMIT);
	go_down(LIMIT / 2);
	zt_same(status_of_child(LIMIT / 2 + LIMIT / 8), 0);
	zt_same(WTERMSIG(status_of_child(LIMIT + ZT_PAGE)), SIGSEGV);
	return zt_pass();
}
