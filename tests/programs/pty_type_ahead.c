/* More is typed, and more is written, than a terminal's buffers take: nothing of it is lost, what was
 * looked at is not looked at again, and what is stopped stays so. */
#include "zt_test.h"

#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>

enum { MOST = 1 << 16, BUFFER = 4095 };

typedef struct terminal {
	int master, slave;
	size_t typed, written;
} terminal;

static char typed_byte(size_t at)
{
	return at % 50 == 49 ? '\n' : (char)('a' + at % 23);
}

static char written_byte(size_t at)
{
	return (char)('A' + at % 26);
}

static bool is(int fd, short event)
{
	struct pollfd poll_fd = {.fd = fd, .events = event};
	return zt_must(poll(&poll_fd, 1, 0)) && poll_fd.revents & event;
}

/* As much as goes in; a kernel worker makes room for some time. */
static size_t fill(int fd, char (*byte)(size_t))
{
	size_t done = 0;
	for (int idle = 0; idle < 50 && done < MOST;) {
		char bytes[700];
		for (size_t i = 0; i < sizeof bytes; i++)
			bytes[i] = byte(done + i);
		ssize_t n = write(fd, bytes, sizeof bytes);
		if (n > 0) {
			done += (size_t)n;
			idle = 0;
		} else {
			zt_same(errno, EAGAIN);
			zt_sleep_ns(ZT_MS);
			idle++;
		}
	}
	zt_check(done > 3 * BUFFER);
	return done;
}

static void drain(int fd, size_t wanted, char (*byte)(size_t))
{
	size_t done = 0;
	while (is(fd, POLLIN)) {
		char bytes[5000];
		ssize_t n = zt_must(read(fd, bytes, sizeof bytes));
		for (ssize_t i = 0; i < n; i++)
			zt_same(bytes[i], byte(done + (size_t)i));
		done += (size_t)n;
	}
	zt_same(done, wanted);
}

static terminal opened(bool canonical)
{
	terminal it = {0};
	struct termios settings;
	zt_must(openpty(&it.master, &it.slave, NULL, NULL, NULL));
	zt_must(fcntl(it.master, F_SETFL, O_RDWR | O_NONBLOCK));
	zt_must(fcntl(it.slave, F_SETFL, O_RDWR | O_NONBLOCK));
	zt_must(tcgetattr(it.slave, &settings));
	settings.c_lflag &= ~(tcflag_t)(ECHO | (canonical ? 0 : ICANON));
	settings.c_oflag &= ~(tcflag_t)OPOST;
	zt_must(tcsetattr(it.slave, TCSANOW, &settings));
	return it;
}

static void finish(const terminal *it, bool canonical)
{
	drain(it->master, it->written, written_byte);
	size_t whole = canonical ? it->typed / 50 * 50 : it->typed;
	drain(it->slave, whole, typed_byte);
	if (whole < it->typed) { /* the line that was not ended can be, and edited too */
		char rest[64] = {0};
		zt_writes(it->master, "!?\x7f\n");
		while (!is(it->slave, POLLIN))
			zt_sleep_ns(ZT_MS);
		size_t size = it->typed - whole;
		zt_same(read(it->slave, rest, sizeof rest), size + 2);
		for (size_t i = 0; i < size; i++)
			zt_same(rest[i], typed_byte(whole + i));
		zt_same(strcmp(rest + size, "!\n"), 0);
	}
}

int main(void)
{
	terminal full[2], stopped[2];
	for (int canonical = 0; canonical < 2; canonical++) {
		full[canonical] = opened(canonical);
		full[canonical].typed = fill(full[canonical].master, typed_byte);
		full[canonical].written = fill(full[canonical].slave, written_byte);
		stopped[canonical] = opened(canonical);
		stopped[canonical].written = fill(stopped[canonical].slave, written_byte);
		zt_writes(stopped[canonical].master, "\x13");
		stopped[canonical].typed = fill(stopped[canonical].master, typed_byte);
	}

	zt_ready();

	for (int canonical = 0; canonical < 2; canonical++) {
		finish(&full[canonical], canonical);
		finish(&stopped[canonical], canonical);
		zt_check(is(full[canonical].slave, POLLOUT));
		zt_check(!is(stopped[canonical].slave, POLLOUT));
		zt_writes(stopped[canonical].master, "\x11");
		while (!is(stopped[canonical].slave, POLLOUT))
			zt_sleep_ns(ZT_MS);
	}
	return zt_pass();
}
