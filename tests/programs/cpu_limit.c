/* A limit on CPU time counts what was used before: SIGXCPU at the soft one, the end at the hard one. The
 * program sees its own limits, and so does who comes of it later, who has used nothing yet. */
#include "zt_test.h"

#include <sys/resource.h>
#include <sys/syscall.h>

enum { SOFT = 2, HARD = 3 };
static volatile sig_atomic_t told;
static int up[2], done[2];

/* By the clock that the limit goes by: what interrupts of the timer have counted. */
static int64_t used_ms(void)
{
	const clockid_t user_and_system = (clockid_t)(~0u << 3);
	return zt_now_ns(user_and_system) / ZT_MS;
}

static void burn_until_ms(int64_t end)
{
	while (used_ms() < end && !told)
		for (volatile int i = 0; i < 10000; i++)
			;
}

static void on_limit(int signal)
{
	(void)signal;
	told = 1;
}

static void limits_are(rlim_t soft, rlim_t hard)
{
	struct rlimit limit;
	zt_must(getrlimit(RLIMIT_CPU, &limit));
	zt_same(limit.rlim_cur, soft);
	zt_same(limit.rlim_max, hard);
	zt_must(syscall(SYS_getrlimit, RLIMIT_CPU, &limit));
	zt_same(limit.rlim_cur, soft);
}

static void kernels_limit_is(const char *wanted)
{
	char line[256];
	FILE *file = fopen("/proc/self/limits", "r");
	zt_check(file != NULL);
	while (fgets(line, sizeof line, file))
		if (strncmp(line, "Max cpu time", 12) == 0 && strstr(line, wanted))
			return;
	zt_fail("the kernel's limit is not %s", wanted);
}

static void uses_it_up(void)
{
	char byte;
	struct rlimit limit = {SOFT, HARD};
	zt_check(signal(SIGXCPU, on_limit) != SIG_ERR);
	zt_must(setrlimit(RLIMIT_CPU, &limit));
	burn_until_ms(1100);
	zt_same(write(up[1], "x", 1), 1);
	zt_same(read(done[0], &byte, 1), 1);

	limits_are(SOFT, HARD);
	zt_check(!told);
	pid_t child = zt_must(fork());
	if (child == 0) {
		limits_are(SOFT, HARD);
		kernels_limit_is(" 2 ");
		_exit(0);
	}
	zt_join(child);
	burn_until_ms(2980);
	zt_check(told);
	told = 0;
	zt_check(used_ms() >= 1000 * SOFT && used_ms() < 2980);
	burn_until_ms(60000);
	told = 0;
	burn_until_ms(60000);
	zt_fail("it was not ended at its hard limit");
}

int main(void)
{
	char byte;
	int status;
	struct rusage usage;
	struct rlimit limit;
	zt_must(pipe(up));
	zt_must(pipe(done));
	pid_t child = zt_must(fork());
	if (child == 0)
		uses_it_up();
	zt_same(read(up[0], &byte, 1), 1);

	zt_ready();

	zt_must(prlimit(child, RLIMIT_CPU, NULL, &limit));
	zt_same(limit.rlim_cur, SOFT);
	limit.rlim_cur = SOFT + 1;
	zt_must(prlimit(child, RLIMIT_CPU, &limit, NULL));
	zt_must(prlimit(child, RLIMIT_CPU, NULL, &limit));
	zt_same(limit.rlim_cur, SOFT + 1);
	limit.rlim_cur = SOFT;
	zt_must(prlimit(child, RLIMIT_CPU, &limit, &limit));
	zt_same(limit.rlim_cur, SOFT + 1);
	limit.rlim_cur = HARD + 1;
	zt_check(prlimit(child, RLIMIT_CPU, &limit, NULL) == -1 && errno == EINVAL);
	zt_same(write(done[1], "x", 1), 1);
	zt_same(wait4(child, &status, 0, &usage), child);
	zt_check(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	zt_check(usage.ru_utime.tv_sec < HARD + 1);
	return zt_pass();
}
