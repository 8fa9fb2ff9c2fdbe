/* A session that gets its terminal late: who was born before has none, nor has who gave it back. */
#include "zt_test.h"

#include <pty.h>
#include <sys/ioctl.h>

static int own_terminal(void)
{
	char stat[512];
	int number, fd = zt_must(open("/proc/self/stat", O_RDONLY));
	ssize_t size = zt_must(read(fd, stat, sizeof stat - 1));
	zt_must(close(fd));
	stat[size] = 0;
	zt_same(sscanf(strrchr(stat, ')'), ") %*c %*d %*d %*d %d", &number), 1);
	return number;
}

static void has_a_terminal(bool wanted)
{
	int fd = open("/dev/tty", O_RDWR | O_NOCTTY), error = errno;
	zt_same(own_terminal() != 0, wanted);
	if (!wanted) {
		zt_same(fd, -1);
		zt_same(error, ENXIO);
		return;
	}
	zt_same(tcgetsid(fd), getsid(0));
	close(fd);
}

static pid_t child(bool wanted, bool gives_back, const int *set_up, const int *told)
{
	pid_t pid = zt_must(fork());
	char byte;
	if (pid) {
		zt_reads(set_up[0], "!");
		return pid;
	}
	zt_must(close(told[1]));
	if (gives_back) {
		int fd = zt_must(open("/dev/tty", O_RDWR | O_NOCTTY));
		zt_must(ioctl(fd, TIOCNOTTY));
		zt_must(close(fd));
	}
	zt_writes(set_up[1], "!");
	zt_same(read(told[0], &byte, 1), 0);
	has_a_terminal(wanted);
	_exit(0);
}

int main(void)
{
	int master, slave, set_up[2], told[2];
	if (setsid() < 0 && getsid(0) != getpid()) {
		pid_t leader = zt_must(fork());
		if (leader) {
			zt_join(leader);
			return 0;
		}
		zt_must(setsid());
	}
	zt_must(pipe(set_up));
	zt_must(pipe(told));
	zt_must(openpty(&master, &slave, NULL, NULL, NULL));
	pid_t early = child(false, false, set_up, told);
	zt_must(ioctl(slave, TIOCSCTTY, 0));
	pid_t late = child(true, false, set_up, told), gave = child(false, true, set_up, told);
	has_a_terminal(true);

	zt_ready();

	has_a_terminal(true);
	zt_must(close(told[1]));
	zt_join(early);
	zt_join(late);
	zt_join(gave);
	return zt_pass();
}
