/* Packets that wait on connections not accepted yet, with their borders and senders; accepted by a child through a
 * descriptor of its own, by a process that has no number left, and with an address that cannot be told. */
#include "zt_unaccepted.h"

#include <sys/resource.h>

int main(void)
{
	struct sockaddr_un at;
	const socklen_t size = zt_unix_address(&at, "packets", false);
	int listener = zt_listens(SOCK_SEQPACKET, &at, size, 4);
	zt_must(setsockopt(listener, SOL_SOCKET, SO_PASSCRED, &(int){1}, sizeof(int)));
	int gone = zt_connects(SOCK_SEQPACKET, &at, size);
	zt_writes(gone, "one");
	zt_same(send(gone, "", 0, 0), 0);
	zt_writes(gone, "two");
	zt_must(close(gone));
	pid_t child = zt_must(fork());
	if (child == 0) {
		int fd = zt_connects(SOCK_SEQPACKET, &at, size);
		zt_writes(fd, "three");
		_exit(0);
	}
	zt_join(child);
	int lives = zt_connects(SOCK_SEQPACKET, &at, size), lost = zt_connects(SOCK_SEQPACKET, &at, size);
	zt_writes(lives, "four");
	zt_writes(lost, "lost");

	zt_ready();

	struct rlimit limit, none;
	zt_must(getrlimit(RLIMIT_NOFILE, &limit));
	none = (struct rlimit){(rlim_t)listener + 1, limit.rlim_max};
	for (int fd = 0; fd < listener; fd++)
		if (fcntl(fd, F_GETFD) == -1)
			zt_must(dup2(listener, fd));
	zt_must(setrlimit(RLIMIT_NOFILE, &none));
	zt_check(accept(listener, NULL, NULL) == -1);
	zt_same(errno, EMFILE);
	zt_must(setrlimit(RLIMIT_NOFILE, &limit));

	pid_t sender;
	int to_gone = zt_must(accept(listener, NULL, NULL));
	zt_same(zt_receives(to_gone, "one", &sender), -1);
	zt_same(sender, getpid());
	zt_same(zt_receives(to_gone, "", &sender), -1);
	zt_same(sender, getpid());
	zt_same(zt_receives(to_gone, "two", &sender), -1);
	zt_reads(to_gone, "");
	pid_t acceptor = zt_must(fork());
	if (acceptor == 0) {
		int own = zt_must(dup(listener)), fd;
		zt_must(close(listener));
		zt_check((fd = accept(own, NULL, NULL)) >= 0);
		zt_same(zt_peer_of(fd), child);
		zt_receives(fd, "three", &sender);
		zt_same(sender, child);
		zt_reads(fd, "");
		_exit(0);
	}
	zt_join(acceptor);
	int to_lives = zt_must(accept(listener, NULL, NULL));
	zt_receives(to_lives, "four", &sender);
	zt_same(sender, getpid());
	zt_through(to_lives, lives, "back");
	socklen_t length = sizeof at;
	zt_check(accept(listener, (struct sockaddr *)8, &length) == -1);
	zt_same(errno, EFAULT);
	zt_nobody_waits(listener);
	char byte;
	zt_check(read(lost, &byte, 1) == -1);
	zt_same(errno, ECONNRESET);
	zt_must(unlink(at.sun_path));
	return zt_pass();
}
