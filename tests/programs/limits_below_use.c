/* Limits that are lower than what is in use, or than what it takes to make the process again. */
#include "zt_test.h"

#include <sys/mman.h>
#include <sys/resource.h>

enum { HIGH = 700, SIZE = 64 << 20 };

static const struct {
	int which;
	rlim_t soft;
} LIMITS[] = {
	{RLIMIT_NOFILE, 3}, /* and descriptor 700 is open */
	{RLIMIT_NPROC, 1},
	{RLIMIT_AS, 1 << 20},
	{RLIMIT_DATA, 1 << 16},
	{RLIMIT_STACK, 1 << 16},
	{RLIMIT_FSIZE, 1 << 20},
	{RLIMIT_CORE, 0},
	{RLIMIT_MEMLOCK, 0},
	{RLIMIT_SIGPENDING, 0}, /* and a signal is pending */
	{RLIMIT_MSGQUEUE, 0},
};
enum { COUNT = sizeof LIMITS / sizeof *LIMITS };

int main(void)
{
	char path[64], data[8] = "";
	int fd = zt_file(path, sizeof path, "data");
	zt_same(write(fd, "abc", 3), 3);
	zt_same(dup2(fd, HIGH), HIGH);
	zt_must(close(fd));
	char *large = zt_must(mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	memset(large, 7, SIZE);
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	for (int i = 0; i < 3; i++)
		zt_must(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
	pid_t child = zt_must(fork()); /* limits are a process's own: this one has none of it */
	if (child == 0) {
		zt_wait_go();
		zt_must(dup2(HIGH, HIGH + 1));
		_exit(0);
	}
	for (int i = 0; i < COUNT; i++) {
		struct rlimit limit;
		zt_must(getrlimit(LIMITS[i].which, &limit));
		limit.rlim_cur = LIMITS[i].soft;
		if (LIMITS[i].which == RLIMIT_AS || LIMITS[i].which == RLIMIT_NPROC)
			limit.rlim_max = LIMITS[i].soft; /* for good */
		zt_must(setrlimit(LIMITS[i].which, &limit));
	}

	zt_ready();

	for (int i = 0; i < COUNT; i++) {
		struct rlimit limit;
		zt_must(getrlimit(LIMITS[i].which, &limit));
		zt_same(limit.rlim_cur, LIMITS[i].soft);
	}
	zt_check(dup(0) == -1 && errno == EMFILE);
	zt_check(mmap(NULL, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
	zt_same(pread(HIGH, data, 3, 0), 3);
	zt_same(strcmp(data, "abc"), 0);
	for (int i = 0; i < SIZE; i += 4096)
		zt_same(large[i], 7);
	for (int i = 0; i < 3; i++) {
		siginfo_t info;
		zt_same(sigwaitinfo(&set, &info), SIGRTMIN);
		zt_same(info.si_value.sival_int, i);
	}
	zt_join(child);
	zt_must(unlink(path));
	return zt_pass();
}
