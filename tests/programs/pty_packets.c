/* In packet mode (TIOCPKT) the master is told what happened to the terminal: once, before all else. */
#include "zt_test.h"

#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

enum { KINDS = 6 };

static const unsigned char told[KINDS] = {
	TIOCPKT_FLUSHREAD | TIOCPKT_FLUSHWRITE, TIOCPKT_STOP, TIOCPKT_START, TIOCPKT_NOSTOP, TIOCPKT_DOSTOP, 0,
};

static void happens(int kind, int slave)
{
	struct termios settings;
	zt_must(tcgetattr(slave, &settings));
	switch (kind) {
	case 0:
		zt_must(tcflush(slave, TCIOFLUSH));
		break;
	case 1:
		zt_must(tcflow(slave, TCOOFF));
		break;
	case 2:
		zt_must(tcflow(slave, TCOOFF));
		zt_must(tcflow(slave, TCOON));
		break;
	case 3:
	case 4:
		settings.c_iflag &= ~(tcflag_t)IXON;
		zt_must(tcsetattr(slave, TCSANOW, &settings));
		settings.c_iflag |= kind == 4 ? IXON : 0;
		zt_must(tcsetattr(slave, TCSANOW, &settings));
		break;
	default:
		break;
	}
}

int main(void)
{
	int master[KINDS], slave[KINDS], on = 1;
	for (int i = 0; i < KINDS; i++) {
		zt_must(openpty(&master[i], &slave[i], NULL, NULL, NULL));
		zt_must(ioctl(master[i], TIOCPKT, &on));
		happens(i, slave[i]);
	}
	zt_writes(slave[2], "out");
	zt_writes(master[4], "in\n");
	for (int i = 0; i < KINDS; i++)
		zt_must(fcntl(master[i], F_SETFL, O_RDWR | O_NONBLOCK));

	zt_ready();

	for (int i = 0; i < KINDS; i++) {
		unsigned char got[16] = {0};
		if (told[i]) {
			zt_same(read(master[i], got, sizeof got), 1);
			zt_same(got[0], told[i]);
		}
		ssize_t n = read(master[i], got, sizeof got);
		if (i == 2)
			zt_check(n == 4 && memcmp(got, "\0out", 4) == 0);
		else if (i == 4)
			zt_check(n == 5 && memcmp(got, "\0in\r\n", 5) == 0);
		else
			zt_same(n, -1);
	}
	zt_reads(slave[4], "in\n");
	return zt_pass();
}
