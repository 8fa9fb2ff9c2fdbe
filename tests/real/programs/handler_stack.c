/* Writes the address of a piece of its stack, and the piece, from within a signal handler; xmm0 was full of
 * 0x77 when the signal came. */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PIECE = 16384 };

static void handler(int signal, siginfo_t *info, void *context)
{
	unsigned long start = (unsigned long)context & ~63UL;
	(void)signal, (void)info;
	if (write(1, &start, sizeof start) != sizeof start || write(1, (void *)start, PIECE) != PIECE)
		_exit(1);
	_exit(0);
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	char room[PIECE * 2], full[16];
	memset(room, 0, sizeof room);
	memset(full, 0x77, sizeof full);
	__asm__ volatile("" : : "r"(room) : "memory");
	sigaction(SIGUSR1, &action, NULL);
	__asm__ volatile("movups (%0), %%xmm0\n syscall"
			 :
			 : "r"(full), "a"(SYS_tkill), "D"(getpid()), "S"(SIGUSR1)
			 : "xmm0", "rcx", "r11", "memory");
	return 2;
}
