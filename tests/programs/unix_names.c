/* Where the files of unix sockets are: bound by a relative path before a chdir, renamed, removed, taken
 * over by a newer listener, a pipe where one was; in a directory that is no more; and whose name is
 * longer than an address. */
#include "zt_test.h"

#include <dirent.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static char home[PATH_MAX];

static socklen_t address(struct sockaddr_un *ret, const char *path)
{
	*ret = (struct sockaddr_un){.sun_family = AF_UNIX};
	zt_check(strlen(path) < sizeof ret->sun_path);
	strcpy(ret->sun_path, path);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1);
}

static int bound(int type, const char *path)
{
	struct sockaddr_un at;
	int fd = zt_must(socket(AF_UNIX, type, 0));
	zt_must(bind(fd, (struct sockaddr *)&at, address(&at, path)));
	if (type != SOCK_DGRAM)
		zt_must(listen(fd, 3));
	return fd;
}

static void is_called(int fd, const char *name)
{
	struct sockaddr_un at = {0};
	socklen_t size = sizeof at;
	zt_must(getsockname(fd, (struct sockaddr *)&at, &size));
	if (strcmp(at.sun_path, name) != 0)
		zt_fail("it is called %s, not %s", at.sun_path, name);
}

/* Connecting to this path in our directory reaches that listener and no other. */
static void leads(const char *path, int listener)
{
	struct sockaddr_un at;
	int client = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	if (connect(client, (struct sockaddr *)&at, address(&at, path)) < 0)
		zt_fail("connect to %s: %s", path, strerror(errno));
	zt_must(fcntl(listener, F_SETFL, O_NONBLOCK));
	int server = accept(listener, NULL, NULL);
	if (server < 0)
		zt_fail("%s leads to another: %s", path, strerror(errno));
	zt_writes(client, "through");
	zt_reads(server, "through");
	close(client);
	close(server);
}

static void kind_is(const char *path, mode_t kind)
{
	struct stat st;
	if (kind == 0) {
		zt_check(lstat(path, &st) == -1);
		zt_same(errno, ENOENT);
		return;
	}
	if (lstat(path, &st) < 0)
		zt_fail("%s: %s", path, strerror(errno));
	zt_same(st.st_mode & S_IFMT, kind);
}

static int nothing_of_ours(void)
{
	DIR *dir = opendir(".");
	int others = 0;
	zt_check(dir != NULL);
	for (struct dirent *entry; (entry = readdir(dir));)
		if (strncmp(entry->d_name, ".zt", 3) == 0)
			zt_fail("%s was left behind", entry->d_name);
		else
			others++;
	closedir(dir);
	return others;
}

int main(void)
{
	char top[64], text[64] = {0}, *absolute;
	struct sockaddr_un at;
	struct stat st;
	snprintf(top, sizeof top, "zt_names.%d", (int)getpid());
	zt_must(mkdir(top, 0700));
	zt_must(chdir(top));
	zt_check(getcwd(home, sizeof home) != NULL);

	int relative = bound(SOCK_STREAM, "relative");
	zt_must(mkdir("sub", 0700));
	int below = bound(SOCK_STREAM, "sub/../sub/below");
	int renamed = bound(SOCK_STREAM, "renamed.tmp");
	zt_must(chmod("renamed.tmp", 0640));
	zt_must(rename("renamed.tmp", "renamed"));
	int removed = bound(SOCK_STREAM, "removed");
	struct sockaddr_un removed_at;
	int client = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(connect(client, (struct sockaddr *)&removed_at, address(&removed_at, "removed")));
	int server = zt_must(accept(removed, NULL, NULL));
	zt_must(unlink("removed"));
	int older = bound(SOCK_STREAM, "contested");
	zt_must(unlink("contested"));
	int newer = bound(SOCK_STREAM, "contested");
	int replaced = bound(SOCK_STREAM, "replaced");
	zt_must(unlink("replaced"));
	zt_must(mkfifo("replaced", 0600));
	int moved = bound(SOCK_STREAM, "moved");
	zt_must(rename("moved", "moved.aside"));
	int file = zt_must(open("moved", O_WRONLY | O_CREAT | O_EXCL, 0600));
	zt_writes(file, "text");
	close(file);
	zt_must(mkdir("gone", 0700));
	int homeless = bound(SOCK_STREAM, "gone/homeless");
	zt_check(asprintf(&absolute, "/tmp/zt_names.%d/absolute", (int)getpid()) > 0);
	*strrchr(absolute, '/') = 0;
	zt_must(mkdir(absolute, 0700));
	absolute[strlen(absolute)] = '/';
	int unreachable = bound(SOCK_DGRAM, absolute);
	zt_must(unlink(absolute));
	*strrchr(absolute, '/') = 0;
	zt_must(rmdir(absolute));
	absolute[strlen(absolute)] = '/';
	zt_must(unlink("gone/homeless"));
	zt_must(rmdir("gone"));
	/* A dead sender's name, where somebody else has a socket by now. */
	int receiver = bound(SOCK_DGRAM, "receiver");
	int sender = bound(SOCK_DGRAM, "sender");
	zt_same(sendto(sender, "posthumous", 10, 0, (struct sockaddr *)&at, address(&at, "receiver")), 10);
	close(sender);
	zt_must(unlink("sender"));
	int successor = bound(SOCK_STREAM, "sender");
	/* Far below: no address has room for the whole path. */
	char deep[80];
	memset(deep, 'd', sizeof deep - 1);
	deep[sizeof deep - 1] = 0;
	for (int i = 0; i < 3; i++) {
		zt_must(mkdir(deep, 0700));
		zt_must(chdir(deep));
	}
	int far = bound(SOCK_STREAM, "far");
	zt_must(chdir("/"));

	zt_ready();

	zt_must(chdir(home));
	leads("relative", relative);
	leads("sub/below", below);
	leads("renamed", renamed);
	leads("contested", newer);
	leads("moved.aside", moved);
	leads("sender", successor);
	zt_must(fcntl(older, F_SETFL, O_NONBLOCK));
	zt_check(accept(older, NULL, NULL) == -1);
	zt_same(errno, EAGAIN);
	is_called(relative, "relative");
	is_called(below, "sub/../sub/below");
	is_called(renamed, "renamed.tmp");
	is_called(removed, "removed");
	is_called(server, "removed");
	is_called(older, "contested");
	is_called(newer, "contested");
	is_called(replaced, "replaced");
	is_called(moved, "moved");
	is_called(homeless, "gone/homeless");
	is_called(unreachable, absolute);
	is_called(far, "far");
	zt_writes(server, "still");
	zt_reads(client, "still");
	zt_must(stat("renamed", &st));
	zt_same(st.st_mode & 07777, 0640);
	kind_is("renamed.tmp", 0);
	kind_is("removed", 0);
	kind_is("gone", 0);
	kind_is("replaced", S_IFIFO);
	kind_is("moved", S_IFREG);
	kind_is("sender", S_IFSOCK);
	*strrchr(absolute, '/') = 0;
	kind_is(absolute, 0);
	socklen_t size = sizeof at;
	memset(&at, 0, sizeof at);
	zt_same(recvfrom(receiver, text, sizeof text, 0, (struct sockaddr *)&at, &size), 10);
	zt_check(strcmp(text, "posthumous") == 0);
	zt_check(strcmp(at.sun_path, "sender") == 0);
	zt_same(nothing_of_ours(), 12);
	for (int i = 0; i < 3; i++)
		zt_must(chdir(deep));
	leads("far", far);
	zt_same(nothing_of_ours(), 3);
	return zt_pass();
}
