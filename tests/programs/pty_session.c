/* A session on a terminal of the pod's: controlling terminal, foreground group, ^C. */
#include "zt_test.h"

#include <pty.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <termios.h>

static void background(void)
{
	zt_must(setpgid(0, 0));
	for (;;)
		pause();
}

int main(void)
{
	int master;
	char byte;
	pid_t leader = zt_must(forkpty(&master, NULL, NULL, NULL));
	if (leader == 0) {
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGINT);
		sigprocmask(SIG_BLOCK, &set, NULL);
		signal(SIGTTOU, SIG_IGN);
		pid_t other = zt_must(fork());
		if (other == 0)
			background();
		signal(SIGTTOU, SIG_DFL);
		setpgid(other, other);
		zt_same(tcgetpgrp(0), getpid());
		int early = zt_must(open("/dev/tty", O_RDWR | O_NONBLOCK));
		zt_writes(1, "up\n");
		int sig;
		zt_same(sigwait(&set, &sig), 0); /* typed on the master afterwards */
		zt_same(tcgetsid(0), getpid());
		zt_same(tcgetpgrp(0), getpid());
		int tty = zt_must(open("/dev/tty", O_RDWR));
		zt_same(tcgetpgrp(tty), getpid());
		struct stat status;
		zt_must(fstat(early, &status));
		zt_same(status.st_rdev, makedev(5, 0));
		zt_same(tcgetpgrp(early), getpid());
		zt_same(fcntl(early, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
		zt_must(tcsetpgrp(0, other));
		zt_same(tcgetpgrp(tty), other);
		kill(other, SIGKILL);
		zt_same(waitpid(other, NULL, 0), other);
		_exit(0);
	}
	while (read(master, &byte, 1) == 1 && byte != '\n')
		;

	zt_ready();

	zt_same(tcgetpgrp(master), leader);
	zt_writes(master, "\x03");
	zt_join(leader);
	return zt_pass();
}
