/* The nice value of a session among all sessions (/proc/PID/autogroup, sched(7)): of its own, and of
 * one whose leader has ended. */
#include "zt_test.h"

enum { TRIES = 1000 };

static int nice_of_mine(void)
{
	FILE *file = fopen("/proc/self/autogroup", "r");
	zt_check(file != NULL);
	int nice = 77;
	zt_same(fscanf(file, "/autogroup-%*d nice %d", &nice), 1);
	fclose(file);
	return nice;
}

/* The kernel takes one of all users' wishes in a tenth of a second. */
static void set_nice(int nice)
{
	int fd = zt_must(open("/proc/self/autogroup", O_WRONLY));
	char text[8];
	ssize_t size = snprintf(text, sizeof text, "%d", nice), written = -1;
	for (int i = 0; i < TRIES; i++) {
		written = write(fd, text, (size_t)size);
		if (written == size || errno != EAGAIN)
			break;
		zt_sleep_ns(20 * ZT_MS);
	}
	zt_same(written, size);
	zt_must(close(fd));
}

/* Tells its nice value when it is set, and again when `go` is closed. */
static void session(int go[2], int told[2], int nice, bool leader_ends)
{
	if (zt_must(fork()) == 0) {
		char c;
		zt_must(setsid());
		set_nice(nice);
		if (leader_ends && zt_must(fork()))
			_exit(0);
		zt_must(close(go[1]));
		for (int i = 0; i < 2; i++) {
			int is = nice_of_mine();
			zt_same(write(told[1], &is, sizeof is), sizeof is);
			zt_same(read(go[0], &c, 1), 0);
		}
		_exit(0);
	}
	int is = 0;
	zt_same(read(told[0], &is, sizeof is), sizeof is);
	zt_same(is, nice);
}

int main(void)
{
	if (access("/proc/self/autogroup", F_OK) < 0) { /* no CONFIG_SCHED_AUTOGROUP */
		zt_ready();
		return zt_pass();
	}
	int go[2], told[2], status;
	zt_must(pipe(go));
	zt_must(pipe(told));
	int before = nice_of_mine(), sum = 0;
	session(go, told, 7, false);
	session(go, told, 19, true);

	zt_ready();

	zt_same(nice_of_mine(), before);
	zt_must(close(go[1]));
	for (int i = 0; i < 2; i++) {
		int is = 0;
		zt_same(read(told[0], &is, sizeof is), sizeof is);
		if (is != 7) zt_same(is, 19);
		sum += is;
	}
	zt_same(sum, 7 + 19);
	while (wait(&status) > 0)
		zt_same(status, 0);
	return zt_pass();
}
