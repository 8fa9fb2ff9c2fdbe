/* A server that takes its time to accept: mostly a connection waits on which data and a
 * descriptor were sent already, and nobody can look at these. A checkpoint waits until it is
 * accepted.
 */
#include "zt_message.h"

#include <sys/un.h>

static const struct sockaddr_un ADDRESS = {.sun_family = AF_UNIX, .sun_path = "late.sock"};

static void send_with_file(int to, int fd, int number)
{
	zt_same(zt_send_beside(to, &number, sizeof number, SCM_RIGHTS, &fd, sizeof fd, 0), sizeof number);
}

static int receive_file(int from, int wanted)
{
	int number = -1, fd;
	char control[CMSG_SPACE(sizeof fd)] = {0};
	struct iovec data = {&number, sizeof number};
	struct msghdr message = {.msg_iov = &data,
				 .msg_iovlen = 1,
				 .msg_control = control,
				 .msg_controllen = sizeof control};
	zt_same(recvmsg(from, &message, 0), sizeof number);
	zt_same(number, wanted);
	zt_check(CMSG_FIRSTHDR(&message) != NULL);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fd);
	return fd;
}

static void one_connection(int listener, int number)
{
	int client = zt_must(socket(AF_UNIX, SOCK_STREAM, 0)), ends[2];
	zt_must(connect(client, (const struct sockaddr *)&ADDRESS, sizeof ADDRESS));
	zt_must(pipe(ends));
	send_with_file(client, ends[0], number);
	zt_must(close(ends[0]));
	zt_sleep_ns(30 * ZT_MS);
	int served = zt_must(accept(listener, NULL, NULL));
	int end = receive_file(served, number);
	zt_writes(ends[1], "through");
	zt_reads(end, "through");
	zt_writes(served, "answer");
	zt_reads(client, "answer");
	zt_must(close(end));
	zt_must(close(ends[1]));
	zt_must(close(served));
	zt_must(close(client));
	zt_sleep_ns(20 * ZT_MS);
}

int main(void)
{
	int listener = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(bind(listener, (const struct sockaddr *)&ADDRESS, sizeof ADDRESS));
	zt_must(listen(listener, 5));
	zt_say_ready();
	for (int number = 0; number == 0 || !zt_may_go(); number++)
		one_connection(listener, number);
	return zt_pass();
}
