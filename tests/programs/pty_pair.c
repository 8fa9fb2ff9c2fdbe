/* A pseudoterminal with both ends in the pod: settings, size, input half typed, output unread; and two of
 * which one end each is exclusive. */
#include "zt_test.h"

#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

static int is_exclusive(int fd)
{
	int is;
	zt_must(ioctl(fd, TIOCGEXCL, &is));
	return is;
}

int main(void)
{
	int master, slave, others[2][2];
	struct termios before, after;
	struct winsize size = {.ws_row = 33, .ws_col = 101};
	zt_must(openpty(&master, &slave, NULL, NULL, &size));
	zt_must(tcgetattr(slave, &before));
	before.c_lflag &= ~(tcflag_t)ECHO;
	before.c_cc[VERASE] = 0x15;
	before.c_cc[VKILL] = 0x7f;
	zt_must(tcsetattr(slave, TCSANOW, &before));
	zt_writes(master, "a line\nhalf");
	zt_writes(slave, "unread\n");
	for (int i = 0; i < 2; i++) {
		zt_must(openpty(&others[i][0], &others[i][1], NULL, NULL, NULL));
		zt_must(ioctl(others[i][i], TIOCEXCL));
	}
	zt_sleep_ns(20 * ZT_MS);

	zt_ready();

	for (int i = 0; i < 2; i++)
		for (int side = 0; side < 2; side++)
			zt_same(is_exclusive(others[i][side]), i == side);

	zt_must(tcgetattr(slave, &after));
	zt_same(after.c_lflag, before.c_lflag);
	zt_same(after.c_iflag, before.c_iflag);
	zt_same(after.c_oflag, before.c_oflag);
	zt_same(after.c_cflag, before.c_cflag);
	zt_check(memcmp(after.c_cc, before.c_cc, sizeof after.c_cc) == 0);
	zt_must(ioctl(master, TIOCGWINSZ, &size));
	zt_same(size.ws_row, 33);
	zt_same(size.ws_col, 101);
	zt_reads(master, "unread\r\n");
	zt_reads(slave, "a line\n");
	zt_writes(master, "\x15" "F\n"); /* erases the f */
	zt_reads(slave, "halF\n");
	zt_check(isatty(slave));
	return zt_pass();
}
