/* How long what is written lives (F_SET_RW_HINT) stays said: of files, also removed ones and those
 * without a name, of memfds, pipes and sockets. */
#include "zt_test.h"

#include <sys/mman.h>
#include <sys/socket.h>

enum { FILES = 8 };

int main(void)
{
	int fds[FILES], ends[2], pair[2];
	fds[0] = zt_must(open("named", O_RDWR | O_CREAT, 0600));
	fds[1] = zt_must(open("removed", O_RDWR | O_CREAT, 0600));
	zt_must(unlink("removed"));
	fds[2] = zt_must(open(".", O_RDWR | O_TMPFILE, 0600));
	fds[3] = zt_must(open(".", O_RDONLY | O_DIRECTORY));
	fds[4] = zt_must(memfd_create("hinted", MFD_CLOEXEC));
	zt_must(pipe(ends));
	fds[5] = ends[0];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	fds[6] = pair[1];
	fds[7] = zt_must(memfd_create("plain", 0));
	for (int i = 0; i < FILES; i++) {
		uint64_t hint = i < 7 ? RWH_WRITE_LIFE_NONE + (uint64_t)i % 5 : 0;
		zt_must(fcntl(fds[i], F_SET_RW_HINT, &hint));
	}

	zt_ready();

	for (int i = 0; i < FILES; i++) {
		uint64_t hint = 77;
		zt_must(fcntl(fds[i], F_GET_RW_HINT, &hint));
		zt_same(hint, i < 7 ? RWH_WRITE_LIFE_NONE + i % 5 : 0);
	}
	return zt_pass();
}
