/* The alternate stack, also while a handler runs on it. */
#include "zt_test.h"

static char stack[1 << 16];
static volatile int on_it;

static void handler(int sig)
{
	char here;
	stack_t now;
	(void)sig;
	zt_check(&here > stack && &here < stack + sizeof stack);
	if (on_it)
		return;
	on_it = 1;
	zt_ready();
	zt_must(sigaltstack(NULL, &now));
	zt_same(now.ss_flags, SS_ONSTACK);
	zt_check(now.ss_sp == stack);
}

int main(void)
{
	stack_t new = {.ss_sp = stack, .ss_size = sizeof stack}, now;
	struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
	zt_must(sigaltstack(&new, NULL));
	zt_must(sigaction(SIGUSR1, &action, NULL));
	zt_must(raise(SIGUSR1));
	zt_same(on_it, 1);
	zt_must(sigaltstack(NULL, &now));
	zt_same(now.ss_flags, 0);
	zt_check(now.ss_sp == stack && now.ss_size == sizeof stack);
	zt_must(raise(SIGUSR1));
	return zt_pass();
}
