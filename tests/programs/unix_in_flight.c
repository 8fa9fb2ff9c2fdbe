/* Open files on their way in the queues of unix sockets: where one message ends, what came with which,
 * sockets in sockets, a socket in its own queue, and files that nobody has open. */
#include "zt_test.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { MOST = 8 };

static void give(int sock, const char *text, int count, const int *fds)
{
	char room[CMSG_SPACE(MOST * sizeof(int))] __attribute__((aligned(8))) = {0};
	struct iovec iov = {.iov_base = (void *)text, .iov_len = strlen(text)};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
	if (count) {
		struct cmsghdr *head = (struct cmsghdr *)room;
		*head = (struct cmsghdr){
			.cmsg_len = CMSG_LEN((size_t)count * sizeof(int)), .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
		};
		memcpy(CMSG_DATA(head), fds, (size_t)count * sizeof(int));
		message.msg_control = room;
		message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
	}
	zt_same(sendmsg(sock, &message, 0), strlen(text));
}

/* One read of at most `most` bytes is this text, with so many descriptors. */
static void take(int sock, size_t most, const char *text, int count, int *ret)
{
	char room[CMSG_SPACE(MOST * sizeof(int))] __attribute__((aligned(8))) = {0}, got[64] = {0};
	struct iovec iov = {.iov_base = got, .iov_len = most};
	struct msghdr message = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof room,
	};
	ssize_t n = zt_must(recvmsg(sock, &message, MSG_DONTWAIT));
	if (n != (ssize_t)strlen(text) || memcmp(got, text, (size_t)n) != 0)
		zt_fail("read \"%.*s\", not \"%s\"", (int)n, got, text);
	int found = 0;
	for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head)) {
		zt_same(head->cmsg_type, SCM_RIGHTS);
		found = (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
		zt_same(found, count);
		memcpy(ret, CMSG_DATA(head), (size_t)found * sizeof(int));
	}
	zt_same(found, count);
	zt_same(message.msg_flags & (MSG_CTRUNC | MSG_TRUNC), 0);
}

static int nothing_waits(int sock)
{
	char byte;
	zt_check(recv(sock, &byte, 1, MSG_DONTWAIT) == -1);
	return errno == EAGAIN;
}

int main(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	char shared_path[64], lost_path[64];
	int s[3][2], got[MOST], shared = zt_file(shared_path, sizeof shared_path, "shared");
	zt_writes(shared, "0123456789");
	zt_same(lseek(shared, 4, SEEK_SET), 4);
	int kept[2], ends[2];
	zt_must(pipe(kept));
	zt_writes(kept[1], "in the pipe");
	for (int i = 0; i < 3; i++) {
		zt_must(socketpair(AF_UNIX, types[i], 0, s[i]));
		/* One that all others have too, one that nobody has, and a pipe's end. */
		int lost = zt_file(lost_path, sizeof lost_path, "lost");
		zt_writes(lost, "nobody has me");
		zt_same(lseek(lost, 7, SEEK_SET), 7);
		zt_must(unlink(lost_path));
		give(s[i][0], "ab", 0, NULL);
		give(s[i][0], "c", 0, NULL);
		give(s[i][0], "de", 3, (int[]){shared, lost, kept[0]});
		give(s[i][0], "fg", 0, NULL);
		give(s[i][0], "h", 1, &kept[0]);
		give(s[i][0], "i", 1, &kept[0]);
		close(lost);
	}
	close(kept[0]);
	/* A socket in a socket in a socket, with a file; only the outermost is open. */
	int outer[2], middle[2], inner[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, outer));
	zt_must(socketpair(AF_UNIX, SOCK_DGRAM, 0, middle));
	zt_must(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, inner));
	zt_writes(inner[1], "innermost");
	give(inner[1], "file", 1, &shared);
	give(middle[1], "inner", 2, inner);
	give(outer[1], "middle", 2, middle);
	close(inner[0]), close(inner[1]), close(middle[0]), close(middle[1]);
	/* A socket in its own queue, and two in each other's. */
	int own[2], one[2], other[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, own));
	give(own[0], "myself", 1, &own[1]);
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, one));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, other));
	give(one[0], "other", 1, &other[1]);
	give(other[0], "one", 1, &one[1]);
	close(other[1]);
	/* Read in part: what came with it went to who read first. */
	int part[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, part));
	give(part[0], "partly", 1, &shared);
	take(part[1], 3, "par", 1, got);
	close(got[0]);
	/* The sender has ended, and its socket is closed. */
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	pid_t child = zt_must(fork());
	if (child == 0) {
		give(ends[1], "legacy", 1, &shared);
		_exit(0);
	}
	zt_join(child);
	close(ends[1]);

	zt_ready();

	for (int i = 0; i < 3; i++) {
		int reader = s[i][1], again;
		if (types[i] == SOCK_STREAM) {
			take(reader, 3, "abc", 0, got);
			take(reader, 9, "de", 3, got);
			take(reader, 9, "fgh", 1, &again);
		} else {
			take(reader, 9, "ab", 0, got);
			take(reader, 9, "c", 0, got);
			take(reader, 9, "de", 3, got);
			take(reader, 9, "fg", 0, got);
			take(reader, 9, "h", 1, &again);
		}
		zt_same(lseek(got[0], 0, SEEK_CUR), 4 + i);
		zt_same(lseek(shared, 1, SEEK_CUR), 5 + i);
		zt_reads(got[1], "has me");
		if (i == 0)
			zt_reads(got[2], "in the pipe");
		zt_writes(kept[1], "more");
		zt_reads(again, "more");
		close(again);
		take(reader, 9, "i", 1, &again);
		close(again);
		zt_check(nothing_waits(reader));
		for (int k = 0; k < 3; k++)
			close(got[k]);
	}
	/* Every reader is gone by now. */
	signal(SIGPIPE, SIG_IGN);
	zt_same(write(kept[1], "x", 1), -1);
	zt_same(errno, EPIPE);

	take(outer[0], 9, "middle", 2, middle);
	take(middle[0], 9, "inner", 2, inner);
	take(inner[0], 99, "innermost", 0, got);
	take(inner[0], 99, "file", 1, got);
	zt_same(lseek(got[0], 0, SEEK_CUR), 7);
	zt_writes(inner[1], "alive");
	zt_reads(inner[0], "alive");
	zt_writes(middle[0], "alive");
	zt_reads(middle[1], "alive");
	close(got[0]);

	struct stat a, b;
	take(own[1], 9, "myself", 1, got);
	zt_must(fstat(own[1], &a));
	zt_must(fstat(got[0], &b));
	zt_same(a.st_ino, b.st_ino);
	zt_writes(own[0], "to myself");
	zt_reads(got[0], "to myself");

	take(one[1], 9, "other", 1, got);
	int again;
	take(got[0], 9, "one", 1, &again);
	zt_writes(one[0], "round");
	zt_reads(again, "round");
	zt_writes(other[0], "about");
	zt_reads(got[0], "about");

	take(part[1], 9, "tly", 0, got);

	take(ends[0], 9, "legacy", 1, got);
	zt_same(lseek(got[0], 0, SEEK_CUR), 7);
	zt_reads(ends[0], "");
	zt_must(unlink(shared_path));
	return zt_pass();
}
