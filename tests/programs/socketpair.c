/* Unix socket pairs of three types, with queued data, message bounds, and a closed half. */
#include "zt_test.h"

#include <sys/socket.h>
#include <sys/uio.h>

int main(void)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET};
	static char large[60000];
	int s[3][2], half[2], gone[2];
	memset(large, 'z', sizeof large);
	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 3; i++) {
		zt_must(socketpair(AF_UNIX, types[i] | SOCK_NONBLOCK, 0, s[i]));
		zt_writes(s[i][0], "one");
		zt_writes(s[i][0], "two");
		zt_same(write(s[i][0], large, sizeof large), sizeof large);
		zt_writes(s[i][1], "back");
	}
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, half));
	zt_writes(half[0], "half");
	zt_must(shutdown(half[0], SHUT_WR));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, gone));
	zt_writes(gone[1], "bye");
	zt_must(close(gone[1]));

	zt_ready();

	static char got[1 << 17];
	for (int i = 0; i < 3; i++) {
		if (types[i] == SOCK_STREAM) {
			zt_same(recv(s[i][1], got, 6, MSG_WAITALL), 6);
			zt_check(memcmp(got, "onetwo", 6) == 0);
			size_t n = 0;
			while (n < sizeof large)
				n += (size_t)zt_must(read(s[i][1], got, sizeof got));
			zt_same(n, sizeof large);
		} else {
			zt_reads(s[i][1], "one");
			zt_reads(s[i][1], "two");
			zt_same(read(s[i][1], got, sizeof got), sizeof large);
			zt_check(memcmp(got, large, sizeof large) == 0);
		}
		zt_check(read(s[i][1], got, 1) == -1 && errno == EAGAIN);
		zt_reads(s[i][0], "back");
		zt_writes(s[i][1], "again");
		zt_reads(s[i][0], "again");
	}
	zt_reads(half[1], "half");
	zt_reads(half[1], "");
	zt_writes(half[1], "answer");
	zt_reads(half[0], "answer");
	zt_check(write(half[0], "x", 1) == -1 && errno == EPIPE);
	zt_reads(gone[0], "bye");
	zt_reads(gone[0], "");
	return zt_pass();
}
