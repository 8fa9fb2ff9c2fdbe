/* Who sent a signal: as the kernel tells it, and as a program wrote it itself (rt_sigqueueinfo). */
#include "zt_test.h"

#include <sys/syscall.h>

enum { WRITTEN = 4242 }; /* nobody's number, or at least not one that anything may change */

static const int USER = SIGUSR1, QUEUED = SIGUSR2, THREAD = SIGHUP;
static int OWN, ODD;

static void send_all(pid_t parent)
{
	zt_must(kill(parent, USER));
	zt_must(sigqueue(parent, QUEUED, (union sigval){.sival_int = 5}));
	zt_must(syscall(SYS_tgkill, parent, parent, THREAD));
	siginfo_t own = {.si_code = SI_QUEUE, .si_pid = getpid()}, odd = {.si_code = SI_QUEUE, .si_pid = WRITTEN};
	zt_must(syscall(SYS_rt_tgsigqueueinfo, parent, parent, OWN, &own));
	zt_must(syscall(SYS_rt_sigqueueinfo, parent, ODD, &odd));
}

static void expect(int sig, int code, pid_t pid)
{
	siginfo_t info;
	sigset_t one;
	struct timespec patience = {30, 0};
	sigemptyset(&one);
	sigaddset(&one, sig);
	zt_same(syscall(SYS_rt_sigtimedwait, &one, &info, &patience, 8), sig);
	zt_same(info.si_code, code);
	zt_same(info.si_pid, pid);
}

static void expect_all(pid_t child)
{
	expect(USER, SI_USER, child);
	expect(QUEUED, SI_QUEUE, child);
	expect(THREAD, SI_TKILL, child);
	expect(OWN, SI_QUEUE, child);
	expect(ODD, SI_QUEUE, WRITTEN);
}

static siginfo_t handled;
static void handler(int sig, siginfo_t *info, void *context)
{
	(void)sig, (void)context;
	handled = *info;
}

int main(void)
{
	OWN = SIGRTMIN + 1;
	ODD = SIGRTMIN + 2;
	sigset_t set;
	int go[2];
	char byte;
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_RESTART};
	pid_t parent = getpid();
	zt_must(sigaction(SIGALRM, &action, NULL));
	sigfillset(&set);
	sigdelset(&set, SIGALRM);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	zt_must(pipe(go));
	pid_t child = zt_must(fork());
	if (child == 0) {
		send_all(parent); /* pending when we are frozen */
		zt_writes(go[1], "a");
		zt_wait_go();
		zt_same(read(go[0], &byte, 1), 1);
		send_all(parent); /* and as it comes */
		zt_must(sigqueue(parent, SIGALRM, (union sigval){0}));
		_exit(0);
	}
	zt_same(read(go[0], &byte, 1), 1);

	zt_ready();

	expect_all(child);
	zt_writes(go[1], "b");
	zt_join(child);
	expect(SIGCHLD, CLD_EXITED, child);
	expect_all(child);
	zt_same(handled.si_code, SI_QUEUE);
	zt_same(handled.si_pid, child);
	return zt_pass();
}
