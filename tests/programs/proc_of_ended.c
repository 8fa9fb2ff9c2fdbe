/* Files of /proc about a process that has ended stay open, and have nothing to tell. */
#include "zt_test.h"

static void has_nothing_to_tell(int directory, int status)
{
	char text[64];
	zt_same(read(status, text, sizeof text), -1);
	zt_same(errno, ESRCH);
	zt_same(openat(directory, "status", O_RDONLY), -1);
}

int main(void)
{
	int told[2];
	char path[64], text[64];
	zt_must(pipe(told));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_must(close(told[1]));
		_exit(read(told[0], text, 1) != 0);
	}
	snprintf(path, sizeof path, "/proc/%d", child);
	int directory = zt_must(open(path, O_RDONLY | O_DIRECTORY));
	int path_only = zt_must(open(path, O_PATH));
	int status = zt_must(openat(directory, "status", O_RDONLY));
	zt_must(close(told[1]));
	zt_join(child);
	has_nothing_to_tell(directory, status);

	zt_ready();

	has_nothing_to_tell(directory, status);
	struct stat st;
	zt_must(fstat(path_only, &st));
	zt_check(S_ISDIR(st.st_mode));
	return zt_pass();
}
