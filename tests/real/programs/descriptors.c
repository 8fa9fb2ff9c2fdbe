/* descriptors PROCESSES EACH: many open files, of nine kinds; a process has EACH of one kind.
 *
 * Nothing of which a user may have so many only: others run beside us. So a process has one pipe, by
 * many descriptors.
 *
 * Says ready when all are there, waits for the file in ZT_GO, and checks every one of them. */
#include "../../programs/zt_test.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>

enum { MOST = 1000 };

static int fds[MOST], others[MOST];

static void name_of(int n, char *name, size_t size)
{
	snprintf(name, size, "d-%d-%d", getpid(), n);
}

static void make_file(int n)
{
	char name[32];
	name_of(n, name, sizeof name);
	fds[n] = zt_must(open(name, O_RDWR | O_CREAT, 0600));
	zt_must(lseek(fds[n], n, SEEK_SET));
}

static void check_file(int n)
{
	zt_same(lseek(fds[n], 0, SEEK_CUR), n);
}

static void make_duplicate(int n)
{
	if (n == 0)
		make_file(0);
	else
		fds[n] = zt_must(dup(fds[0]));
}

static void check_duplicate(int n)
{
	zt_same(lseek(fds[n], 1, SEEK_CUR), n + 1);
}

static void make_pipe(int n)
{
	int ends[2];
	if (n == 0)
		zt_must(pipe(ends));
	fds[n] = n == 0 ? ends[0] : zt_must(dup(fds[0]));
	others[n] = n == 0 ? ends[1] : zt_must(dup(others[0]));
	zt_same(write(others[n], &n, sizeof n), sizeof n);
}

static void check_pipe(int n)
{
	int found = -1;
	zt_same(read(fds[n], &found, sizeof found), sizeof found);
	zt_same(found, n);
	zt_same(write(others[n], &n, sizeof n), sizeof n); /* behind all others */
}

static void make_pair(int n)
{
	int ends[2];
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	fds[n] = ends[0], others[n] = ends[1];
	zt_same(write(others[n], &n, sizeof n), sizeof n);
}

static void check_pair(int n)
{
	int found = -1;
	zt_same(read(fds[n], &found, sizeof found), sizeof found);
	zt_same(found, n);
	zt_same(write(others[n], "x", 1), 1);
	zt_same(read(fds[n], &found, 1), 1);
}

static void make_eventfd(int n)
{
	fds[n] = zt_must(eventfd((unsigned)n + 1, 0));
}

static void check_eventfd(int n)
{
	uint64_t count = 0;
	zt_same(read(fds[n], &count, sizeof count), sizeof count);
	zt_same(count, n + 1);
}

static void make_epoll(int n)
{
	static int ready;
	if (n == 0)
		ready = zt_must(eventfd(1, 0));
	fds[n] = zt_must(epoll_create1(0));
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)n};
	zt_must(epoll_ctl(fds[n], EPOLL_CTL_ADD, ready, &event));
}

static void check_epoll(int n)
{
	struct epoll_event event;
	zt_same(epoll_wait(fds[n], &event, 1, 0), 1);
	zt_same(event.data.u64, n);
}

static void make_timer(int n)
{
	fds[n] = zt_must(timerfd_create(CLOCK_MONOTONIC, 0));
	struct itimerspec when = {.it_value.tv_sec = 5000, .it_interval.tv_sec = n + 1};
	zt_must(timerfd_settime(fds[n], 0, &when, NULL));
}

static void check_timer(int n)
{
	struct itimerspec when;
	zt_must(timerfd_gettime(fds[n], &when));
	zt_same(when.it_interval.tv_sec, n + 1);
	zt_check(when.it_value.tv_sec > 4000 && when.it_value.tv_sec <= 5000);
}

static void make_memfd(int n)
{
	fds[n] = zt_must(memfd_create("many", 0));
	zt_same(write(fds[n], &n, sizeof n), sizeof n);
}

static void check_memfd(int n)
{
	int found = -1;
	zt_same(pread(fds[n], &found, sizeof found, 0), sizeof found);
	zt_same(found, n);
}

static void make_bound(int n)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	name_of(n, at.sun_path, sizeof at.sun_path);
	fds[n] = zt_must(socket(AF_UNIX, SOCK_DGRAM, 0));
	zt_must(bind(fds[n], (void *)&at, sizeof at));
}

static void check_bound(int n)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	name_of(n, at.sun_path, sizeof at.sun_path);
	zt_same(sendto(fds[n], &n, sizeof n, 0, (void *)&at, sizeof at), sizeof n);
	int found = -1;
	zt_same(read(fds[n], &found, sizeof found), sizeof found);
	zt_same(found, n);
}

static const struct {
	void (*make)(int n), (*check)(int n);
	int at_once;
} kinds[] = {
	{make_file, check_file, 1}, {make_duplicate, check_duplicate, 1}, {make_pipe, check_pipe, 2},
	{make_pair, check_pair, 2}, {make_eventfd, check_eventfd, 1},     {make_epoll, check_epoll, 1},
	{make_timer, check_timer, 1}, {make_memfd, check_memfd, 1},       {make_bound, check_bound, 1},
};

int main(int argc, char **argv)
{
	zt_check(argc == 3);
	int processes = atoi(argv[1]), each = atoi(argv[2]), there[2], go[2];
	zt_check(each <= MOST);
	zt_must(pipe(there));
	zt_must(pipe(go));
	for (int i = 0; i < processes; i++) {
		if (zt_must(fork()) != 0)
			continue;
		size_t kind = (size_t)i % (sizeof kinds / sizeof *kinds);
		int count = each / kinds[kind].at_once;
		for (int n = 0; n < count; n++)
			kinds[kind].make(n);
		zt_same(write(there[1], "t", 1), 1);
		char unused;
		close(go[1]);
		zt_same(read(go[0], &unused, 1), 0);
		for (int n = 0; n < count; n++)
			kinds[kind].check(n);
		_exit(0);
	}
	for (int i = 0; i < processes; i++) {
		char unused;
		zt_same(read(there[0], &unused, 1), 1);
	}
	zt_ready();
	close(go[1]);
	for (int i = 0; i < processes; i++) {
		int status;
		zt_must(wait(&status));
		zt_same(status, 0);
	}
	return zt_pass();
}
