/* What has no name has a mode, too: fchmod(2) and fchown(2) of sockets, pipes, terminals, memfds and
 * removed files. A pipe keeps a mode by which nobody could open it again.
 */
#include "zt_test.h"

#include <pty.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
	PIPE,
	PIPE_SHUT,
	PAIR,
	UDP,
	SEQPACKET,
	LISTENER,
	SLAVE,
	MEMFD,
	MEMFD_SHUT,
	REMOVED,
	FIFO,
	N
};

static const mode_t modes[N] = {
    [PIPE] = 0640,    [PIPE_SHUT] = 0,	 [PAIR] = 0417,	 [UDP] = 0,
    [SEQPACKET] = 01, [LISTENER] = 0700, [SLAVE] = 0600, [MEMFD] = 0640,
    [MEMFD_SHUT] = 0, [REMOVED] = 0604,	 [FIFO] = 0611,
};

/* Another group of ours, if we have one; root may give away anything. */
static gid_t other_group(void)
{
	gid_t groups[64];
	int n = zt_must(getgroups(64, groups));
	for (int i = 0; i < n; i++)
		if (groups[i] != getegid())
			return groups[i];
	return geteuid() == 0 ? getegid() + 1 : getegid();
}

int main(void)
{
	int fds[N], pipes[2], shut[2], pair[2], two[2], master, again;
	char path[64];
	zt_must(pipe(pipes));
	zt_must(pipe(shut));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	zt_must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, two));
	zt_must(openpty(&master, &fds[SLAVE], NULL, NULL, NULL));
	fds[PIPE] = pipes[1];
	fds[PIPE_SHUT] = shut[0];
	fds[PAIR] = pair[1];
	fds[SEQPACKET] = two[0];
	fds[UDP] = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	fds[LISTENER] = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	struct sockaddr any = {.sa_family = AF_UNIX};
	zt_must(bind(fds[LISTENER], &any, sizeof any.sa_family));
	zt_must(listen(fds[LISTENER], 1));
	fds[MEMFD] = zt_must(memfd_create("mode", 0));
	fds[MEMFD_SHUT] = zt_must(memfd_create("shut", 0));
	zt_writes(fds[MEMFD_SHUT], "kept");
	fds[REMOVED] = zt_file(path, sizeof path, "removed");
	zt_must(unlink(path));
	zt_must(mkfifo(path, 0600));
	fds[FIFO] = zt_must(open(path, O_RDWR));
	zt_must(unlink(path));
	snprintf(path, sizeof path, "/proc/self/fd/%d", shut[1]);
	again = zt_must(open(path, O_WRONLY));
	zt_writes(shut[1], "in the pipe");
	gid_t group = other_group();
	for (int i = 0; i < N; i++) {
		zt_must(fchown(fds[i], (uid_t)-1, group));
		zt_must(fchmod(fds[i], modes[i]));
	}

	zt_ready();

	for (int i = 0; i < N; i++) {
		struct stat status;
		zt_must(fstat(fds[i], &status));
		zt_same(status.st_mode & 07777, modes[i]);
		zt_same(status.st_gid, group);
		zt_same(status.st_uid, geteuid());
	}
	char byte[4];
	zt_same(pread(fds[MEMFD_SHUT], byte, sizeof byte, 0), 4);
	zt_reads(shut[0], "in the pipe");
	zt_writes(again, "again");
	zt_reads(shut[0], "again");
	return zt_pass();
}
