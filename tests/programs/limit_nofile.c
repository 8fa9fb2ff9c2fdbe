/* RLIMIT_NOFILE, the hard one: every number that it may have is taken. */
#include "zt_limit.h"

int main(void)
{
	enum { LIMIT = 40 };
	zt_limit(RLIMIT_NOFILE, LIMIT);
	int ends[2], open_now = 0;
	while (pipe(ends) == 0)
		zt_same(write(ends[1], "x", 1), 1);
	while (dup(0) >= 0)
		continue;
	zt_check(dup(0) == -1 && errno == EMFILE);

	zt_ready();

	zt_limited(RLIMIT_NOFILE, LIMIT);
	zt_check(dup(0) == -1 && errno == EMFILE);
	for (int fd = 0; fd < LIMIT; fd++)
		open_now += fcntl(fd, F_GETFD) == 0;
	zt_same(open_now, LIMIT);
	zt_must(close(LIMIT / 2));
	zt_same(dup(0), LIMIT / 2);
	zt_check(dup(0) == -1 && errno == EMFILE);
	return zt_pass();
}
