/* What CPUID says is the same afterwards, in threads, children and programs that are executed, and in
 * no way does SIGSEGV show how that came about. ZT_CPU_LEVEL is what must not be exceeded. */
#include <cpuid.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "zt_test.h"

#define SEEN 12
static unsigned seen[SEEN], level;
static volatile sig_atomic_t faults;

static void look(unsigned out[SEEN])
{
	unsigned a, b, c, d, at = 0;
	for (unsigned leaf = 0; leaf < 2; leaf++) {
		__cpuid_count(leaf ? 7 : 1, 0, a, b, c, d);
		out[at++] = leaf ? b : 0; /* of 1 this says on which processor we are */
		out[at++] = c & ~(1U << 27);
		out[at++] = d;
	}
	__cpuid_count(0x80000001, 0, a, b, c, d);
	out[at++] = c;
	__cpuid_count(7, 1, a, b, c, d);
	out[at++] = a;
	out[at++] = d;
	out[at++] = (unsigned)getauxval(AT_HWCAP);
	out[at++] = (unsigned)getauxval(AT_HWCAP2);
	out[at++] = 0;
}

static void is_the_same(void)
{
	unsigned now[SEEN];
	look(now);
	zt_check(memcmp(now, seen, sizeof now) == 0);
}

static void within_level(void)
{
	if (level && level < 4)
		zt_same(seen[3] & bit_AVX512F, 0);
	if (level && level < 3) {
		zt_same(seen[3] & bit_AVX2, 0);
		zt_same(seen[1] & (bit_AVX | bit_FMA), 0);
	}
	if (level)
		zt_check((seen[1] & bit_SSE4_2) != 0);
}

static void *in_a_thread(void *unused)
{
	(void)unused;
	is_the_same();
	return NULL;
}

static void on_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	faults += info->si_addr == (void *)16;
	is_the_same();
	_exit(faults == 1 ? 0 : 1);
}

static void ended_well(pid_t child)
{
	int status;
	zt_check(child > 0);
	zt_same(waitpid(child, &status, 0), child);
	zt_same(status, 0);
}

/* A fault that is its own is still the program's. */
static void faults_as_ever(void)
{
	pid_t child = fork();
	if (child == 0) {
		is_the_same();
		*(volatile int *)16 = 1;
		_exit(2);
	}
	ended_well(child);
}

static void execute(bool blocked, bool ignored)
{
	pid_t child = fork();
	if (child == 0) {
		sigset_t segv;
		sigemptyset(&segv);
		sigaddset(&segv, SIGSEGV);
		sigprocmask(blocked ? SIG_BLOCK : SIG_UNBLOCK, &segv, NULL);
		signal(SIGSEGV, ignored ? SIG_IGN : SIG_DFL);
		execl("/proc/self/exe", "cpu_seen", blocked ? "blocked" : "open",
		      ignored ? "ignored" : "default", NULL);
		_exit(3);
	}
	ended_well(child);
}

/* As executed by the above: the start of a program asks already. */
static int executed(char **argv)
{
	struct sigaction now;
	sigset_t mask;
	look(seen);
	within_level();
	sigprocmask(SIG_BLOCK, NULL, &mask);
	zt_same(sigismember(&mask, SIGSEGV), strcmp(argv[1], "blocked") == 0);
	sigaction(SIGSEGV, NULL, &now);
	zt_check(now.sa_handler == (strcmp(argv[2], "ignored") == 0 ? SIG_IGN : SIG_DFL));
	return 0;
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, now;
	pthread_t thread;
	if (getenv("ZT_CPU_LEVEL"))
		level = (unsigned)atoi(getenv("ZT_CPU_LEVEL"));
	if (argc > 1)
		return executed(argv);
	sigaction(SIGSEGV, &action, NULL);
	look(seen);
	within_level();

	zt_ready();

	is_the_same();
	zt_same(pthread_create(&thread, NULL, in_a_thread, NULL), 0);
	zt_same(pthread_join(thread, NULL), 0);
	faults_as_ever();
	execute(false, false);
	execute(true, false);
	execute(false, true);
	zt_same(syscall(SYS_arch_prctl, 0x1011, 0), 1);
	sigaction(SIGSEGV, NULL, &now);
	zt_check(now.sa_sigaction == on_fault && faults == 0);
	return zt_pass();
}
