/* Unix sockets between users: whom each end tells as its peer, also of one that waits, and senders. */
#include "zt_root.h"

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CLIENTS = 3, GROUPS = 2, WAITS = CLIENTS - 1 };

static const uid_t uids[CLIENTS] = {33, 44, 55};
static struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "socket"};
static struct shared {
	int ready;
	int go;
} *shared;

static void wait_for(volatile int *what, int value)
{
	while (__atomic_load_n(what, __ATOMIC_SEQ_CST) < value)
		zt_sleep_ns(5 * ZT_MS);
}

static void tells(int fd, uid_t uid, const gid_t *groups, size_t count)
{
	struct ucred peer;
	gid_t found[8];
	socklen_t size = sizeof peer, groups_size = sizeof found;
	zt_must(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size));
	zt_same(peer.uid, uid);
	zt_same(peer.gid, uid);
	zt_must(getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, found, &groups_size));
	zt_same(groups_size, count * sizeof *groups);
	for (size_t i = 0; i < count; i++)
		zt_same(found[i], groups[i]);
}

/* By the one that has it, over the connection, with what the kernel adds. */
static void sent_by(int fd, uid_t uid, const char *text)
{
	char data[16] = "", control[CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = {data, sizeof data - 1};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct ucred sender;
	zt_same(recvmsg(fd, &message, 0), strlen(text));
	zt_check(strcmp(data, text) == 0);
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	zt_check(head && head->cmsg_type == SCM_CREDENTIALS);
	memcpy(&sender, CMSG_DATA(head), sizeof sender);
	zt_same(sender.uid, uid);
	zt_same(sender.gid, uid);
}

static void client(int i)
{
	const gid_t groups[GROUPS] = {100, 200 + (gid_t)i};
	int fd = zt_must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	zt_groups(GROUPS, groups);
	zt_gids(uids[i], uids[i], uids[i]);
	zt_uids(uids[i], uids[i], uids[i]);
	zt_must(connect(fd, (struct sockaddr *)&address, sizeof address));
	if (i != WAITS)
		zt_writes(fd, "hello");
	__atomic_add_fetch(&shared->ready, 1, __ATOMIC_SEQ_CST);
	wait_for(&shared->go, 1);
	tells(fd, 0, NULL, 0);
	_exit(0);
}

int main(void)
{
	const int on = 1;
	int accepted[CLIENTS];
	pid_t pids[CLIENTS];
	struct stat there;
	shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(shared != MAP_FAILED);
	zt_groups(0, NULL);
	int listener = zt_must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	zt_must(setsockopt(listener, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	zt_must(bind(listener, (struct sockaddr *)&address, sizeof address));
	zt_must(chmod(address.sun_path, 0666));
	zt_must(chown(address.sun_path, 33, 44));
	zt_must(chmod(".", 0755));
	zt_must(listen(listener, 8));
	for (int i = 0; i < CLIENTS; i++) {
		pids[i] = zt_must(fork());
		if (!pids[i])
			client(i);
		wait_for(&shared->ready, i + 1);
		if (i != WAITS)
			accepted[i] = zt_must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	}

	zt_ready();

	accepted[WAITS] = zt_must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	for (int i = 0; i < CLIENTS; i++) {
		const gid_t groups[GROUPS] = {100, 200 + (gid_t)i};
		tells(accepted[i], uids[i], groups, GROUPS);
		if (i != WAITS)
			sent_by(accepted[i], uids[i], "hello");
	}
	zt_must(stat(address.sun_path, &there));
	zt_same(there.st_uid, 33);
	zt_same(there.st_gid, 44);
	zt_same(there.st_mode & 07777, 0666);
	shared->go = 1;
	for (int i = 0; i < CLIENTS; i++)
		zt_join(pids[i]);
	zt_must(unlink(address.sun_path));
	return zt_pass();
}
