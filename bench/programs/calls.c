/* calls [MS]: what system calls cost. For each a line "NAME NANOSECONDS": it is called over and over
 * for at least MS milliseconds (20). Every answer is looked at; a wrong one ends it with status 1 and the
 * name. The last line is PASS. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MANY 100
#define LARGE (64 << 10)

static int zero, null, pipe_ends[2], others[3], many[MANY][2], watching, set;
static volatile sig_atomic_t signals;
static pid_t self, parent, session;
static char large[LARGE];
static const char *now;

static void want(int right)
{
	if (!right) {
		printf("wrong %s\n", now);
		exit(1);
	}
}

static void do_getpid(void) { want(syscall(SYS_getpid) == self); }
static void do_getppid(void) { want(getppid() == parent); }
static void do_getsid(void) { want(getsid(0) == session); }
static void do_gettid(void) { want(syscall(SYS_gettid) == self); }
static void do_gettimeofday(void) { struct timeval t; want(gettimeofday(&t, NULL) == 0 && t.tv_sec > 1); }
static void do_clock_gettime(void) { struct timespec t; want(clock_gettime(CLOCK_MONOTONIC, &t) == 0); }
static void do_clock_gettime_call(void)
{
	struct timespec t;
	want(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t) == 0);
}
static void do_open_close(void) { want(close(open("/dev/null", O_RDONLY)) == 0); }
static void do_stat(void) { struct stat s; want(stat("/etc/passwd", &s) == 0 && S_ISREG(s.st_mode)); }
static void do_read(void) { char byte; want(read(zero, &byte, 1) == 1); }
static void do_read_large(void) { want(read(zero, large, LARGE) == LARGE); }
static void do_write(void) { want(write(null, large, 1) == 1); }
static void do_write_large(void) { want(write(null, large, LARGE) == LARGE); }
static void do_pipe_to_itself(void)
{
	char byte = 'p';
	want(write(pipe_ends[1], &byte, 1) == 1 && read(pipe_ends[0], &byte, 1) == 1 && byte == 'p');
}
static void do_mmap_munmap(void)
{
	want(munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096) == 0);
}
static void do_page_fault(void)
{
	static char *page, *end;
	if (page == end) {
		size_t size = 256 * 4096;
		if (page)
			munmap(end - size, size);
		page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		end = page + size;
	}
	want(*page == 0);
	*page = 1;
	page += 4096;
}
static void count(int number) { (void)number, signals++; }
static void do_signal(void)
{
	int before = signals;
	want(raise(SIGUSR1) == 0 && signals == before + 1);
}
static void do_kill_0(void) { want(kill(self, 0) == 0); }
static void *nothing(void *given) { return given; }
static void do_thread_join(void)
{
	pthread_t id;
	void *back = NULL;
	want(pthread_create(&id, NULL, nothing, large) == 0 && pthread_join(id, &back) == 0 && back == large);
}
static void await(pid_t child, int status)
{
	int told;
	want(child > 0 && waitpid(child, &told, 0) == child && WIFEXITED(told) && WEXITSTATUS(told) == status);
}
static void do_fork_exit(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(7);
	await(child, 7);
}
static void do_fork_exec(void)
{
	pid_t child = fork();
	if (child == 0) {
		execl("/bin/true", "true", (char *)NULL);
		_exit(127);
	}
	await(child, 0);
}
static void do_posix_spawn(void)
{
	pid_t child = 0;
	posix_spawn(&child, "/bin/true", NULL, NULL, (char *[]){"true", NULL}, (char *[]){NULL});
	await(child, 0);
}
static void do_fork_sh(void)
{
	pid_t child = fork();
	if (child == 0) {
		execl("/bin/sh", "sh", "-c", "exit 3", (char *)NULL);
		_exit(127);
	}
	await(child, 3);
}
static void do_semop(void)
{
	struct sembuf up = {0, 1, 0}, down = {0, -1, 0};
	want(semop(set, &up, 1) == 0 && semop(set, &down, 1) == 0);
}
static void do_select_100(void)
{
	fd_set asked;
	FD_ZERO(&asked);
	for (int i = 0; i < MANY; i++)
		FD_SET(many[i][0], &asked);
	want(select(many[MANY - 1][0] + 1, &asked, NULL, NULL, &(struct timeval){0}) == 1 &&
	     FD_ISSET(many[MANY / 2][0], &asked));
}
static void do_epoll_100(void)
{
	struct epoll_event found[MANY];
	want(epoll_wait(watching, found, MANY, 0) == 1 && found[0].data.u32 == MANY / 2);
}
static void round_trip(int fd)
{
	char byte = 'a';
	want(write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1 && byte == 'b');
}
static void do_pipe_ping_pong(void)
{
	char byte = 'a';
	want(write(others[0], &byte, 1) == 1 && read(pipe_ends[0], &byte, 1) == 1 && byte == 'b');
}
static void do_unix_ping_pong(void) { round_trip(others[1]); }
static void do_tcp_ping_pong(void) { round_trip(others[2]); }

/* A process that answers each byte with the one after it, from one descriptor to another. */
static void make_other(int from, int to)
{
	pid_t child = fork();
	want(child >= 0);
	if (child > 0)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (char byte; read(from, &byte, 1) == 1;)
		if (byte++, write(to, &byte, 1) != 1)
			break;
	_exit(0);
}

static void tcp_pair(int ends[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	want(bind(listener, (void *)&at, size) == 0 && listen(listener, 1) == 0);
	want(getsockname(listener, (void *)&at, &size) == 0);
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	want(connect(ends[0], (void *)&at, size) == 0);
	want((ends[1] = accept(listener, NULL, NULL)) >= 0);
	close(listener);
}

static void remove_set(void) { semctl(set, 0, IPC_RMID); }

static void prepare(void)
{
	int ends[2];
	now = "at the start";
	self = getpid(), parent = getppid(), session = getsid(0);
	zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_WRONLY);
	signal(SIGUSR1, count);
	want((set = semget(IPC_PRIVATE, 1, 0600)) >= 0 && atexit(remove_set) == 0);
	want((watching = epoll_create1(0)) >= 0 && pipe(pipe_ends) == 0);
	for (int i = 0; i < MANY; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.u32 = i};
		want(pipe(many[i]) == 0 && epoll_ctl(watching, EPOLL_CTL_ADD, many[i][0], &event) == 0);
	}
	want(write(many[MANY / 2][1], "x", 1) == 1);
	want(pipe(ends) == 0);
	make_other(ends[0], pipe_ends[1]);
	others[0] = ends[1];
	want(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	make_other(ends[0], ends[0]);
	others[1] = ends[1];
	tcp_pair(ends);
	make_other(ends[0], ends[0]);
	others[2] = ends[1];
}

#define CALL(name) { #name, do_##name }
static const struct { const char *name; void (*call)(void); } calls[] = {
	CALL(getpid), CALL(getppid), CALL(getsid), CALL(gettid), CALL(gettimeofday), CALL(clock_gettime),
	CALL(clock_gettime_call), CALL(open_close), CALL(stat), CALL(read), CALL(read_large), CALL(write),
	CALL(write_large), CALL(pipe_to_itself), CALL(pipe_ping_pong), CALL(unix_ping_pong),
	CALL(tcp_ping_pong), CALL(mmap_munmap), CALL(page_fault), CALL(signal), CALL(kill_0), CALL(semop),
	CALL(select_100), CALL(epoll_100), CALL(thread_join), CALL(fork_exit), CALL(fork_exec),
	CALL(posix_spawn), CALL(fork_sh),
};

static double since(const struct timespec *a)
{
	struct timespec b;
	clock_gettime(CLOCK_MONOTONIC, &b);
	return (b.tv_sec - a->tv_sec) * 1e9 + (b.tv_nsec - a->tv_nsec);
}

int main(int argc, char **argv)
{
	double enough = 1e6 * (argc > 1 ? atoi(argv[1]) : 20);
	prepare();
	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		long times = 0, some = 1;
		double took = 0;
		struct timespec began;
		now = calls[i].name;
		calls[i].call(); /* what the first one pays, the others do not */
		clock_gettime(CLOCK_MONOTONIC, &began);
		while (took < enough) {
			for (long n = 0; n < some; n++)
				calls[i].call();
			times += some;
			took = since(&began);
			some = took > enough / 8 ? 1 + times / 8 : 2 * some;
		}
		printf("%s %.1f\n", calls[i].name, took / times);
	}
	printf("PASS\n");
	return 0;
}
