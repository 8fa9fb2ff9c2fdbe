/* many KIND COUNT PROCESSES: COUNT things of one kind, spread over PROCESSES.
 *
 * file: regular files, each of its own · duplicate: of one file · pipe, socket: both ends are among
 * the COUNT · epoll: each with a registration of one pipe · eventfd · timer · removed: files that have
 * lost their name · memfd · udp · bound: unix sockets with a path · accepted: unix connections with one
 * listener, both ends · connection: the same over TCP, with a byte that is not read · area: of memory,
 * each with other permissions than the one before · thread · mib: of random memory · process: nothing more. Files are made where it is
 * run. Says "all made", then waits to be killed. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int file(size_t n)
{
	char name[32];
	snprintf(name, sizeof name, "f-%d-%zu", getpid(), n);
	return open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600) < 0 ? -1 : 1;
}

static int removed(size_t n)
{
	char name[32];
	snprintf(name, sizeof name, "r-%d-%zu", getpid(), n);
	return open(name, O_RDWR | O_CREAT, 0600) < 0 || unlink(name) ? -1 : 1;
}

static int duplicate(size_t n)
{
	static int first;
	if (n == 0) {
		first = open("one", O_RDWR | O_CREAT, 0600);
		return first < 0 ? -1 : 1;
	}
	return dup(first) < 0 ? -1 : 1;
}

static int both_ends_of_pipe(size_t n)
{
	(void)n;
	int ends[2];
	return pipe(ends) ? -1 : 2;
}

static int both_ends_of_socket(size_t n)
{
	(void)n;
	int ends[2];
	return socketpair(AF_UNIX, SOCK_STREAM, 0, ends) ? -1 : 2;
}

static int bound(size_t n)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	snprintf(at.sun_path, sizeof at.sun_path, "s-%d-%zu", getpid(), n);
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	return fd < 0 || bind(fd, (void *)&at, sizeof at) ? -1 : 1;
}

static int accepted(size_t n)
{
	static int listener;
	static struct sockaddr_un at = {.sun_family = AF_UNIX};
	if (n == 0) {
		snprintf(at.sun_path, sizeof at.sun_path, "l-%d", getpid());
		listener = socket(AF_UNIX, SOCK_STREAM, 0);
		return listener < 0 || bind(listener, (void *)&at, sizeof at) || listen(listener, 9) ? -1 : 1;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	return fd < 0 || connect(fd, (void *)&at, sizeof at) || accept(listener, NULL, NULL) < 0 ? -1 : 2;
}

static int connection(size_t n)
{
	static int listener;
	static struct sockaddr_in at = {.sin_family = AF_INET};
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (n == 0) {
		socklen_t size = sizeof at;
		listener = socket(AF_INET, SOCK_STREAM, 0);
		return listener < 0 || bind(listener, (void *)&at, sizeof at) || listen(listener, 9) ||
				       getsockname(listener, (void *)&at, &size)
			       ? -1
			       : 1;
	}
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	return fd < 0 || connect(fd, (void *)&at, sizeof at) || accept(listener, NULL, NULL) < 0 ||
			       write(fd, "x", 1) != 1
		       ? -1
		       : 2;
}

static int area(size_t n)
{
	int permissions = n % 2 ? PROT_READ | PROT_WRITE : PROT_READ;
	return mmap(NULL, 4096, permissions, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 1;
}

static void *rest(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static int thread(size_t n)
{
	pthread_attr_t small;
	pthread_t id;
	(void)n;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	return pthread_create(&id, &small, rest, NULL) ? -1 : 1;
}

static int mib(size_t n)
{
	static uint64_t x = 88172645463325252u;
	enum { WORDS = (1 << 20) / sizeof x };
	uint64_t *memory = malloc(WORDS * sizeof x);
	for (size_t i = 0; memory != NULL && i < WORDS; i++) {
		x ^= x << 13, x ^= x >> 7;
		memory[i] = x ^= x << 17;
	}
	(void)n;
	return memory == NULL ? -1 : 1;
}

static int process(size_t n)
{
	(void)n;
	return 1;
}

static int udp(size_t n)
{
	(void)n;
	return socket(AF_INET, SOCK_DGRAM, 0) < 0 ? -1 : 1;
}

static int one_memfd(size_t n)
{
	(void)n;
	return memfd_create("bench", 0) < 0 ? -1 : 1;
}

static int one_epoll(size_t n)
{
	static int watched;
	if (n == 0) {
		int ends[2];
		if (pipe(ends))
			return -1;
		watched = ends[0];
		return 2;
	}
	int fd = epoll_create1(0);
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = n};
	return fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, watched, &event) ? -1 : 1;
}

static int one_eventfd(size_t n)
{
	return eventfd(n, 0) < 0 ? -1 : 1;
}

static int one_timer(size_t n)
{
	(void)n;
	return timerfd_create(CLOCK_MONOTONIC, 0) < 0 ? -1 : 1;
}

static const struct {
	const char *name;
	int (*make)(size_t n);
} kinds[] = {
	{"file", file},
	{"duplicate", duplicate},
	{"pipe", both_ends_of_pipe},
	{"socket", both_ends_of_socket},
	{"epoll", one_epoll},
	{"eventfd", one_eventfd},
	{"timer", one_timer},
	{"removed", removed},
	{"memfd", one_memfd},
	{"udp", udp},
	{"bound", bound},
	{"accepted", accepted},
	{"connection", connection},
	{"area", area},
	{"thread", thread},
	{"mib", mib},
	{"process", process},
};

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	size_t count = strtoul(argv[2], NULL, 10), processes = strtoul(argv[3], NULL, 10);
	struct rlimit limit;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	int told[2];
	if (processes == 0 || pipe(told))
		return 1;
	bool first = true;
	for (size_t i = 1; first && i < processes; i++) {
		pid_t child = fork();
		if (child < 0)
			return 1;
		if (child == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			close(told[0]);
			first = false;
		}
	}
	size_t kind = 0, kind_count = sizeof kinds / sizeof *kinds;
	while (kind < kind_count && strcmp(kinds[kind].name, argv[1]) != 0)
		kind++;
	if (kind == kind_count)
		return 2;
	int made;
	for (size_t n = 0; n < count / processes; n += (size_t)made)
		if ((made = kinds[kind].make(n)) < 0)
			return 1;
	close(told[1]); /* of the last, its reader sees the end */
	char unused;
	if (first && read(told[0], &unused, 1) == 0) {
		close(told[0]);
		puts("all made");
		fflush(stdout);
	}
	for (;;)
		pause();
}
