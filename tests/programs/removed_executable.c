/* Programs go on whose file was removed, or replaced by another, or never had a name: /proc/self/exe
 * tells the same, what they map is of that very file, and it can be executed again. */
#include "zt_test.h"

#include <sys/mman.h>

static char self[4096];

static void copy_to(int to)
{
	int from = zt_must(open("/proc/self/exe", O_RDONLY));
	char bite[65536];
	ssize_t n;
	while ((n = zt_must(read(from, bite, sizeof bite))) > 0)
		zt_same(write(to, bite, (size_t)n), n);
	zt_must(close(from));
}

static void make(const char *path)
{
	int fd = zt_must(open(path, O_WRONLY | O_CREAT | O_EXCL, 0700));
	copy_to(fd);
	zt_must(close(fd));
}

static void link_of(char *ret, size_t size)
{
	ssize_t n = zt_must(readlink("/proc/self/exe", ret, size - 1));
	ret[n] = 0;
}

/* What is mapped at `address`. */
static ino_t mapped(const void *address)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	char line[8192];
	unsigned long start, end, inode, found = 0;
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &start, &end, &inode) == 3 &&
		    start <= (unsigned long)address && (unsigned long)address < end)
			found = inode;
	fclose(maps);
	return (ino_t)found;
}

static unsigned long sum(int fd)
{
	unsigned char bite[65536];
	unsigned long all = 0;
	ssize_t n;
	while ((n = zt_must(read(fd, bite, sizeof bite))) > 0)
		for (ssize_t i = 0; i < n; i++)
			all = all * 31 + bite[i];
	return all;
}

static unsigned long sum_of(const char *path)
{
	int fd = zt_must(open(path, O_RDONLY));
	unsigned long all = sum(fd);
	zt_must(close(fd));
	return all;
}

static void look(const char *kind, const char *was)
{
	char is[4096];
	link_of(is, sizeof is);
	const char *base = strrchr(was, '/');
	const char *tail = strcmp(kind, "replaced") == 0 ? is + strlen(is) - strlen(base) : is;
	if (strcmp(tail, tail == is ? was : base) != 0)
		zt_fail("the executable of one %s is %s, not %s", kind, is, was);
	struct stat status;
	zt_must(stat("/proc/self/exe", &status));
	zt_same(status.st_nlink, 0);
	zt_same(status.st_mode & 0777, strcmp(kind, "shut") == 0 ? 0400 : 0700);
	zt_same(mapped(look), status.st_ino);
	zt_same(mapped(self), status.st_ino);
	zt_check(sum_of("/proc/self/exe") == sum_of(self));
}

/* argv: kind, the other program's path, what ends when it has lost its name, what ends when it is to go
 * on, where to say that it is there, a descriptor of its own file, or -1. */
static int child(char **argv)
{
	int lost = atoi(argv[3]), go = atoi(argv[4]), there = atoi(argv[5]), own = atoi(argv[6]);
	char was[4096], byte;
	snprintf(self, sizeof self, "%s", argv[2]);
	zt_same(read(lost, &byte, 1), 0);
	link_of(was, sizeof was);
	look(argv[1], was);
	pid_t born = zt_must(fork());
	zt_writes(there, "x");
	if (born == 0)
		zt_must(close(there));
	zt_same(read(go, &byte, 1), 0);
	look(argv[1], was);
	if (own >= 0) {
		struct stat mine, status;
		zt_must(fstat(own, &mine));
		zt_must(stat("/proc/self/exe", &status));
		zt_same(mine.st_ino, status.st_ino);
	}
	if (born == 0)
		_exit(0);
	zt_join(born);
	if (strcmp(argv[1], "shut") == 0)
		return 0;
	execl("/proc/self/exe", "again", "again", NULL);
	zt_fail("%s is not executed again: %s", was, strerror(errno));
}

static int lost[2], go[2], there[2];

static pid_t start(int fd, const char *kind, int own)
{
	pid_t born = zt_must(fork());
	if (born)
		return born;
	char numbers[4][16], path[64];
	zt_must(close(lost[1]));
	zt_must(close(go[1]));
	int passed[] = {lost[0], go[0], there[1], own};
	for (int i = 0; i < 4; i++)
		snprintf(numbers[i], sizeof numbers[i], "%d", passed[i]);
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	execl(path, "child", kind, self, numbers[0], numbers[1], numbers[2], numbers[3], NULL);
	zt_fail("execl: %s", strerror(errno));
}

static pid_t start_file(const char *path, const char *kind, bool keep)
{
	make(path);
	int fd = zt_must(open(path, O_RDONLY | O_CLOEXEC));
	int own = keep ? zt_must(open(path, O_RDONLY)) : -1;
	pid_t born = start(fd, kind, own);
	if (keep)
		zt_must(close(own));
	zt_must(close(fd));
	return born;
}

static void await_executed(pid_t who)
{
	char path[64], is[4096];
	snprintf(path, sizeof path, "/proc/%d/exe", (int)who);
	for (ssize_t n = 0;;) {
		n = zt_must(readlink(path, is, sizeof is - 1));
		is[n] = 0;
		if (strcmp(is, self) != 0)
			return;
		zt_sleep_ns(ZT_MS);
	}
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "again") == 0)
		return 0;
	if (argc > 1)
		return child(argv);
	link_of(self, sizeof self);
	zt_must(pipe(lost));
	zt_must(pipe(go));
	zt_must(pipe(there));
	enum { REMOVED, KEPT, REPLACED, SHUT, MEMFD, N };
	pid_t born[N];
	born[REMOVED] = start_file("zt_removed", "removed", false);
	born[KEPT] = start_file("zt_kept", "removed", true);
	born[REPLACED] = start_file("zt_replaced", "replaced", false);
	born[SHUT] = start_file("zt_shut", "shut", false);
	int memfd = zt_must(memfd_create("program", MFD_CLOEXEC));
	copy_to(memfd);
	zt_must(fchmod(memfd, 0700));
	born[MEMFD] = start(memfd, "memfd", -1);
	int idle = zt_must(memfd_create("idle", MFD_CLOEXEC));
	copy_to(idle);
	for (int i = 0; i < N; i++)
		await_executed(born[i]);
	zt_must(unlink("zt_removed"));
	zt_must(unlink("zt_kept"));
	zt_must(chmod("zt_shut", 0400));
	zt_must(unlink("zt_shut"));
	int other = zt_must(open("zt_other", O_WRONLY | O_CREAT | O_EXCL, 0700));
	zt_writes(other, "other");
	zt_must(close(other));
	zt_must(rename("zt_other", "zt_replaced"));
	zt_must(close(memfd));
	zt_must(close(go[0]));
	zt_must(close(there[1]));
	zt_must(close(lost[1]));
	char byte;
	for (int i = 0; i < N; i++)
		zt_same(read(there[0], &byte, 1), 1);

	zt_ready();

	zt_must(close(go[1]));
	for (int i = 0; i < N; i++)
		zt_join(born[i]);
	other = zt_must(open("zt_replaced", O_RDONLY));
	zt_reads(other, "other");
	zt_must(unlink("zt_replaced"));
	pid_t last = zt_must(fork());
	if (last == 0) {
		fexecve(idle, (char *[]){"again", "again", NULL}, environ);
		zt_fail("fexecve: %s", strerror(errno));
	}
	zt_join(last);
	return zt_pass();
}
