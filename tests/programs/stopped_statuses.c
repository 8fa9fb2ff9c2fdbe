/* Children that were stopped and continued: what their parent has still to be told, and what not. */
#include "zt_test.h"

#include <sys/mman.h>

enum { UNTOLD, SEEN, SEEN_TWICE, TOLD, TOLD_TWICE, BY_TERMINAL, CONTINUED, CONTINUED_SEEN, COUNT };

static pid_t child[COUNT];

static int *continued; /* how often each got SIGCONT */
static int self;

static void on_cont(int number)
{
	(void)number;
	continued[self]++;
}

static pid_t start(int which)
{
	pid_t pid = zt_must(fork());
	if (pid == 0) {
		setpgid(0, 0); /* a group that is not orphaned: also SIGTSTP stops it */
		self = which;
		signal(SIGCONT, on_cont);
		continued[which] = 0;
		for (;;)
			pause();
	}
	while (__atomic_load_n(&continued[which], __ATOMIC_ACQUIRE) < 0)
		zt_sleep_ns(ZT_MS);
	return pid;
}

static siginfo_t look(pid_t pid, int what)
{
	siginfo_t info = {0};
	zt_must(waitid(P_PID, (id_t)pid, &info, what | WNOHANG));
	return info;
}

static void stop(int which, int number, int how)
{
	siginfo_t info;
	zt_must(kill(child[which], number));
	zt_must(waitid(P_PID, (id_t)child[which], &info, WSTOPPED | how));
	zt_same(info.si_status, number);
}

static void go_on(int which, int how)
{
	siginfo_t info;
	zt_must(kill(child[which], SIGCONT));
	zt_must(waitid(P_PID, (id_t)child[which], &info, WCONTINUED | how));
}

int main(void)
{
	const int shared = MAP_SHARED | MAP_ANONYMOUS;
	continued = zt_must(mmap(NULL, 4096, PROT_READ | PROT_WRITE, shared, -1, 0));
	for (int i = 0; i < COUNT; i++) {
		continued[i] = -1;
		child[i] = start(i);
	}
	stop(UNTOLD, SIGSTOP, WNOWAIT);
	stop(SEEN, SIGTTIN, WNOWAIT);
	stop(SEEN_TWICE, SIGSTOP, WNOWAIT);
	zt_must(kill(child[SEEN_TWICE], SIGSTOP));
	stop(TOLD, SIGSTOP, 0);
	stop(TOLD_TWICE, SIGSTOP, 0);
	zt_must(kill(child[TOLD_TWICE], SIGSTOP));
	stop(BY_TERMINAL, SIGTSTP, 0);
	stop(CONTINUED, SIGSTOP, 0);
	go_on(CONTINUED, WNOWAIT);
	stop(CONTINUED_SEEN, SIGSTOP, 0);
	go_on(CONTINUED_SEEN, 0);
	while (continued[CONTINUED] + continued[CONTINUED_SEEN] < 2)
		zt_sleep_ns(ZT_MS);

	zt_ready();

	/* What is looked at with WNOWAIT is there still, and the rest is told once. */
	static const int waiting[COUNT] = {
		[UNTOLD] = SIGSTOP, [SEEN] = SIGTTIN, [SEEN_TWICE] = SIGSTOP};
	for (int i = 0; i < COUNT; i++) {
		siginfo_t info = look(child[i], WSTOPPED | WNOWAIT);
		zt_same(info.si_pid, waiting[i] ? child[i] : 0);
		zt_same(info.si_status, waiting[i]);
		info = look(child[i], WSTOPPED);
		zt_same(info.si_status, waiting[i]);
		info = look(child[i], WSTOPPED);
		zt_same(info.si_pid, 0);
		info = look(child[i], WCONTINUED);
		zt_same(info.si_pid, i == CONTINUED ? child[i] : 0);
		info = look(child[i], WCONTINUED);
		zt_same(info.si_pid, 0);
	}
	for (int i = 0; i < COUNT; i++)
		zt_same(continued[i], i >= CONTINUED);
	for (int i = 0; i < COUNT; i++) {
		int status;
		if (i < CONTINUED)
			go_on(i, 0);
		zt_must(kill(child[i], SIGTERM));
		zt_same(waitpid(child[i], &status, 0), child[i]);
		zt_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
	}
	return zt_pass();
}
