/* Files of /proc about a process, or a thread, that has ended stay open, and have nothing to tell. */
#include "zt_test.h"

#include <pthread.h>

static pid_t tid;
static int of_thread, its_status;

static void has_nothing_to_tell(int directory, int status)
{
	char text[64];
	zt_same(read(status, text, sizeof text), -1);
	zt_same(errno, ESRCH);
	zt_same(openat(directory, "status", O_RDONLY), -1);
}

static void *thread(void *unused)
{
	char path[64];
	tid = gettid();
	snprintf(path, sizeof path, "/proc/self/task/%d", tid);
	of_thread = zt_must(open(path, O_RDONLY | O_DIRECTORY));
	its_status = zt_must(openat(of_thread, "status", O_RDONLY));
	return unused;
}

int main(void)
{
	pthread_t other;
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
	zt_same(pthread_create(&other, NULL, thread, NULL), 0);
	zt_same(pthread_join(other, NULL), 0);
	while (tgkill(getpid(), tid, 0) == 0) /* it can be joined before it has ended */
		zt_sleep_ns(ZT_MS);
	has_nothing_to_tell(of_thread, its_status);

	zt_ready();

	has_nothing_to_tell(directory, status);
	has_nothing_to_tell(of_thread, its_status);
	zt_must(close(zt_must(openat(of_thread, "../../status", O_RDONLY)))); /* of the process it was of */
	struct stat st;
	zt_must(fstat(path_only, &st));
	zt_check(S_ISDIR(st.st_mode));
	return zt_pass();
}
