/* Out-of-band bytes in the queues of unix streams: before others, behind others, alone, in line, the latest of two,
 * with a sender, and one that was read already. */
#include "zt_test.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static int pair(int to[2])
{
	zt_must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, to));
	return to[0];
}

static void urgent(int fd, const char *text)
{
	zt_same(send(fd, text, strlen(text), MSG_OOB), strlen(text));
}

static bool at_mark(int fd)
{
	int mark;
	zt_must(ioctl(fd, SIOCATMARK, &mark));
	return mark;
}

static void reads_urgent(int fd, char byte)
{
	char found;
	struct pollfd wanted = {fd, POLLPRI, 0};
	zt_same(poll(&wanted, 1, 0), 1);
	zt_same(recv(fd, &found, 1, MSG_OOB), 1);
	zt_same(found, byte);
	zt_same(poll(&wanted, 1, 0), 0);
}

int main(void)
{
	int middle[2], first[2], last[2], line[2], two[2], told[2], taken[2], on = 1;
	char byte;
	zt_writes(pair(middle), "before");
	if (send(middle[0], "!", 1, MSG_OOB) == -1 && errno == EOPNOTSUPP) {
		zt_ready(); /* a kernel without CONFIG_AF_UNIX_OOB */
		return zt_pass();
	}
	zt_writes(middle[0], "after");
	urgent(pair(first), "!");
	zt_writes(first[0], "!after");
	zt_writes(pair(last), "before!");
	urgent(last[0], "!");
	zt_writes(pair(line), "in ");
	zt_must(setsockopt(line[1], SOL_SOCKET, SO_OOBINLINE, &on, sizeof on));
	urgent(line[0], "li");
	zt_writes(line[0], "ne");
	urgent(pair(two), "1");
	urgent(two[0], "xy2");
	pair(told);
	zt_must(setsockopt(told[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	zt_writes(told[0], "from ");
	urgent(told[0], "m");
	zt_writes(told[0], "e");
	zt_writes(pair(taken), "before");
	urgent(taken[0], "!");
	zt_same(recv(taken[1], &byte, 1, MSG_OOB), 1);
	zt_writes(taken[0], "after");

	zt_ready();

	zt_reads(middle[1], "before");
	zt_check(at_mark(middle[1]));
	reads_urgent(middle[1], '!');
	zt_reads(middle[1], "after");
	zt_check(at_mark(first[1]));
	reads_urgent(first[1], '!');
	zt_reads(first[1], "!after");
	reads_urgent(last[1], '!');
	zt_reads(last[1], "before!");
	zt_check(!at_mark(line[1]));
	zt_reads(line[1], "in l");
	zt_check(at_mark(line[1]));
	zt_reads(line[1], "ine");
	reads_urgent(two[1], '2');
	zt_reads(two[1], "1xy");
	zt_reads(told[1], "from ");
	reads_urgent(told[1], 'm');
	zt_reads(told[1], "e");
	zt_same(recv(taken[1], &byte, 1, MSG_OOB), -1);
	zt_same(recv(taken[1], &byte, 1, MSG_PEEK), 1);
	zt_same(byte, 'b');
	return zt_pass();
}
