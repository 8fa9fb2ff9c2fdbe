/* Who asks CPUID while it blocks or ignores SIGSEGV has its answer, and goes on: natively with both as
 * they were; where CPUID is a fault (argument: "faulting") the kernel has ended them. */
#include <cpuid.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static void on_fault(int signal)
{
	(void)signal;
}

static bool has_avx(void)
{
	unsigned a, b, c, d;
	__cpuid(1, a, b, c, d);
	return c & bit_AVX;
}

static bool is_as_it_was(void (*handler)(int), bool blocked)
{
	struct sigaction now;
	sigset_t mask;
	sigaction(SIGSEGV, NULL, &now);
	sigprocmask(SIG_BLOCK, NULL, &mask);
	return now.sa_handler == handler && sigismember(&mask, SIGSEGV) == blocked;
}

static bool asks(bool faulting, void (*handler)(int), bool blocked)
{
	const bool before = has_avx(), loses = faulting && (blocked || handler == SIG_IGN);
	struct sigaction action = {.sa_handler = handler};
	sigset_t segv;
	sigemptyset(&segv);
	sigaddset(&segv, SIGSEGV);
	sigaction(SIGSEGV, &action, NULL);
	sigprocmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &segv, NULL);
	return has_avx() == before && is_as_it_was(loses ? SIG_DFL : handler, blocked && !loses);
}

int main(int argc, char **argv)
{
	const bool faulting = argc > 1 && strcmp(argv[1], "faulting") == 0;
	if (!asks(faulting, on_fault, false) || !asks(faulting, on_fault, true) || !asks(faulting, SIG_IGN, false))
		return 1;
	puts("PASS");
	return 0;
}
