/* Writes to pipes, sockets and terminals that had written a part: all is written, once, and the
 * vectors of the program stay as they are. */
#include "zt_halfway.h"

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>

static int plain[2], vector[2], position[2], sock[2], sock_vector[2], master, slave;
static struct iovec pieces[ZT_PIECES], as_made[ZT_PIECES], small[ZT_MANY], small_as_made[ZT_MANY];

static void by_write(void) { zt_same(write(plain[1], zt_bytes, ZT_TOTAL), ZT_TOTAL); }
static void by_writev(void) { zt_same(writev(vector[1], pieces, ZT_PIECES), ZT_TOTAL); }
static void by_pwritev2(void) { zt_same(pwritev2(position[1], small, ZT_MANY, -1, 0), ZT_TOTAL); }
static void by_socket(void) { zt_same(write(sock[1], zt_bytes, ZT_TOTAL), ZT_TOTAL); }
static void by_socket_vector(void) { zt_same(writev(sock_vector[1], small, ZT_MANY), ZT_TOTAL); }
static void by_terminal(void) { zt_same(write(slave, zt_bytes, ZT_TOTAL), ZT_TOTAL); }

static void pieces_are_as_made(void)
{
	zt_same(memcmp(pieces, as_made, sizeof pieces), 0);
	zt_same(memcmp(small, small_as_made, sizeof small), 0);
}

static void drains(int fd)
{
	pieces_are_as_made();
	zt_drains(fd, ZT_TOTAL);
	pieces_are_as_made();
}

static void free_plain(void) { drains(plain[0]); }
static void free_vector(void) { drains(vector[0]); }
static void free_position(void) { drains(position[0]); }
static void free_socket(void) { drains(sock[0]); }
static void free_socket_vector(void) { drains(sock_vector[0]); }
static void free_terminal(void) { drains(master); }

static void open_terminal(void)
{
	struct termios raw;
	master = zt_must(posix_openpt(O_RDWR | O_NOCTTY));
	zt_must(grantpt(master));
	zt_must(unlockpt(master));
	slave = zt_must(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
	zt_must(tcgetattr(slave, &raw));
	cfmakeraw(&raw);
	zt_must(tcsetattr(slave, TCSANOW, &raw));
}

int main(void)
{
	static const zt_way ways[] = {
		{by_write, free_plain},		{by_writev, free_vector},
		{by_pwritev2, free_position},	{by_socket, free_socket},
		{by_socket_vector, free_socket_vector}, {by_terminal, free_terminal},
	};
	zt_fill();
	zt_cut_up(pieces, zt_bytes);
	zt_cut_up_small(small, zt_bytes);
	memcpy(as_made, pieces, sizeof pieces);
	memcpy(small_as_made, small, sizeof small);
	zt_must(pipe(plain));
	zt_must(pipe(vector));
	zt_must(pipe(position));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, sock_vector));
	open_terminal();
	return zt_halfway(ways, sizeof ways / sizeof *ways);
}
