/* Limits, umask, working directory, priority, personality of prctl, and who we are. */
#include "zt_test.h"

#include <sys/prctl.h>
#include <sys/resource.h>

int main(void)
{
	char path[64], here[512], now[512], name[16];
	snprintf(path, sizeof path, "zt_cwd.%d", (int)getpid());
	zt_must(mkdir(path, 0700));
	zt_must(chdir(path));
	zt_check(getcwd(here, sizeof here) != NULL);
	umask(0137);
	struct rlimit limit;
	zt_must(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 123;
	zt_must(setrlimit(RLIMIT_NOFILE, &limit));
	zt_must(setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}));
	zt_must(setpriority(PRIO_PROCESS, 0, 5));
	zt_must(prctl(PR_SET_NAME, "zt limits"));
	zt_must(prctl(PR_SET_PDEATHSIG, SIGUSR1));
	zt_must(prctl(PR_SET_TIMERSLACK, 123456));
	uid_t uid = getuid();
	gid_t gid = getegid();

	zt_ready();

	zt_check(getcwd(now, sizeof now) != NULL && strcmp(here, now) == 0);
	zt_must(chdir(".."));
	zt_must(rmdir(path));
	zt_same(umask(0), 0137);
	zt_must(getrlimit(RLIMIT_NOFILE, &limit));
	zt_same(limit.rlim_cur, 123);
	zt_must(getrlimit(RLIMIT_CORE, &limit));
	zt_same(limit.rlim_max, 0);
	zt_same(getpriority(PRIO_PROCESS, 0), 5);
	zt_must(prctl(PR_GET_NAME, name));
	zt_check(strcmp(name, "zt limits") == 0);
	int sig = 0;
	zt_must(prctl(PR_GET_PDEATHSIG, &sig));
	zt_same(sig, SIGUSR1);
	zt_same(prctl(PR_GET_TIMERSLACK), 123456);
	zt_same(getuid(), uid);
	zt_same(getegid(), gid);
	return zt_pass();
}
