/* served V OWN: with the calls of the C library served in the process (zaptrace/linux/sites/stubs.py), as the test
 * that starts it composes that. It says where the library lies and which numbers it has natively, reads from its input
 * what is to lie where, puts it there, and checks that it is V (0: who it is), with process 1 for its parent. Last it
 * says PASS. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAP_CODE, MAP_TABLE, MAP_OWN, WRITE_TEXT };
struct record {
	uint64_t at, size, kind;
};

static pid_t self, real;
static uint32_t *own;
static volatile int signals, ends;
static sigjmp_buf out;
static volatile pid_t sender;

#define check(condition) \
	do { \
		if (!(condition)) { \
			printf("line %d: %s, errno %d\n", __LINE__, #condition, errno); \
			fflush(stdout); \
			_exit(1); \
		} \
	} while (0)

static void take(void *into, size_t size)
{
	check(fread(into, 1, size, stdin) == size);
}

static void put(const struct record *it)
{
	char *bytes = malloc(it->size);
	void *at = (void *)it->at;
	take(bytes, it->size);
	if (it->kind == MAP_TABLE) {
		int fd = open(bytes, O_RDONLY);
		off_t size = lseek(fd, 0, SEEK_END);
		check(mmap(at, (size_t)size, PROT_READ, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == at);
		close(fd);
	} else if (it->kind == WRITE_TEXT) {
		void *page = (void *)(it->at & ~4095ul);
		check(!mprotect(page, 8192, PROT_READ | PROT_WRITE | PROT_EXEC));
		memcpy(at, bytes, it->size);
		check(!mprotect(page, 8192, PROT_READ | PROT_EXEC));
	} else {
		const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
		check(mmap(at, it->size, PROT_READ | PROT_WRITE, flags, -1, 0) == at);
		memcpy(at, bytes, it->size);
		check(it->kind == MAP_OWN ? !madvise(at, it->size, MADV_WIPEONFORK) :
					    !mprotect(at, it->size, PROT_READ | PROT_EXEC));
	}
	free(bytes);
}

static int find_library(struct dl_phdr_info *info, size_t size, void *ret)
{
	(void)size;
	if (!strstr(info->dlpi_name, "libc.so"))
		return 0;
	*(uint64_t *)ret = info->dlpi_addr;
	return 1;
}

/* All argument registers behind a call by syscall(3), which leaves them as the kernel does. */
static long registers_after(long nr, const long args[6], long ret[6])
{
	long result;
	__asm__ volatile("mov 0(%[args]), %%rsi\n mov 8(%[args]), %%rdx\n mov 16(%[args]), %%rcx\n"
			 "mov 24(%[args]), %%r8\n mov 32(%[args]), %%r9\n mov %[nr], %%rdi\n"
			 "pushq 40(%[args])\n call *%[call]\n add $8, %%rsp\n"
			 "mov %%rdi, 0(%[ret])\n mov %%rsi, 8(%[ret])\n mov %%rdx, 16(%[ret])\n"
			 "mov %%r10, 24(%[ret])\n mov %%r8, 32(%[ret])\n mov %%r9, 40(%[ret])\n"
			 : "=a"(result)
			 : [args] "b"(args), [ret] "r"(ret), [nr] "r"(nr), [call] "r"(syscall)
			 : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "memory", "cc");
	return result;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	sender = info->si_pid;
	signals++;
}

static void on_jump(int number)
{
	(void)number;
	siglongjmp(out, 1);
}

static void numbers(void)
{
	cpu_set_t set;
	struct sched_param param;
	for (int i = 0; i < 3; i++) {
		check(getpid() == self);
		check(syscall(SYS_getpid) == self);
	}
	check(gettid() == self && syscall(SYS_gettid) == self);
	check(getppid() == 1 && syscall(SYS_getppid) == 1);
	check(kill(self, 0) == 0 && syscall(SYS_kill, self, 0) == 0);
	check(kill(self, 999) < 0 && errno == EINVAL);
	check(kill(0x7ffffffe, 0) < 0 && errno == ESRCH);
	check(syscall(SYS_tkill, 0, 0) < 0 && errno == EINVAL);
	check(syscall(SYS_tkill, -5, 0) < 0 && errno == EINVAL);
	check(syscall(SYS_tgkill, self, self, 0) == 0);
	check(syscall(SYS_tgkill, 0x7ffffffe, self, 0) < 0 && errno == ESRCH);
	check(syscall(SYS_tgkill, self, 0x7ffffffe, 0) < 0 && errno == ESRCH);
	check(sched_getaffinity(self, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0);
	check(sched_getaffinity(0, sizeof set, &set) == 0);
	check(sched_getscheduler(self) == SCHED_OTHER && sched_getparam(self, &param) == 0);
	check(syscall(SYS_getuid) == getuid()); /* which none serves */
}

static void registers(void)
{
	static const long numbers_taken[] = {SYS_kill, SYS_tkill, SYS_tgkill, SYS_getpid, SYS_gettid, SYS_getppid, SYS_getuid};
	long args[6] = {self, 0, 0x1122334455, -4, 0x123456789abcdef, 7}, after[6];
	for (size_t i = 0; i < sizeof numbers_taken / sizeof *numbers_taken; i++) {
		args[1] = numbers_taken[i] == SYS_tgkill ? self : 0;
		args[2] = numbers_taken[i] == SYS_tgkill ? 0 : 0x1122334455;
		check(registers_after(numbers_taken[i], args, after) >= 0);
		for (int n = 0; n < 6; n++)
			check(after[n] == args[n]);
	}
	args[0] = self | 1l << 40; /* a number, to the kernel, and more */
	registers_after(SYS_kill, args, after);
	check(after[0] == args[0]);
}

static void handlers(void)
{
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
	sigaction(SIGUSR1, &action, NULL);
	check(raise(SIGUSR1) == 0 && signals == 1);
	check(kill(self, SIGUSR1) == 0 && signals == 2);
	check(pthread_kill(pthread_self(), SIGUSR1) == 0 && signals == 3);
	signal(SIGUSR2, on_jump);
	for (volatile int i = 0; i < 100; i++)
		if (!sigsetjmp(out, 1)) {
			kill(self, SIGUSR2);
			check(!"come back from it");
		}
}

static void births(void)
{
	int status;
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();
		if (!child) {
			check(getpid() != self && getpid() == syscall(SYS_gettid) && getppid() == self);
			check(raise(SIGUSR1) == 0 && signals == 4);
			_exit(getpid() & 127);
		}
		check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == (child & 127));
	}
	check(getpid() == self);
	check(system("exit 3") >> 8 == 3);
	*own = (uint32_t)-1; /* while a child is on our memory, none is to keep its own there */
	pid_t child = vfork();
	if (!child)
		_exit(getpid() == self);
	check(waitpid(child, &status, 0) == child && status == 0);
	check(*own == (uint32_t)-1);
	*own = 0;
	check(getpid() == self && *own == (uint32_t)self);
}

static void *storm(void *until)
{
	cpu_set_t set;
	const pid_t tid = gettid();
	for (int i = 0; i < 5000 || !ends; i++) {
		check(getpid() == self && getppid() == 1 && gettid() == tid && kill(self, 0) == 0);
		check(syscall(SYS_tgkill, self, self, 0) == 0 && sched_getaffinity(self, sizeof set, &set) == 0);
	}
	return until;
}

static void *waits(void *unused)
{
	waitpid(-1, NULL, 0);
	return unused;
}

/* Signals at all points of what is served, and calls that wait, restarted and cancelled. */
static void threads(void)
{
	pthread_t all[4], waiting;
	struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct itimerval often = {{0, 2000}, {0, 2000}};
	void *result;
	sigaction(SIGALRM, &action, NULL);
	signals = 0;
	setitimer(ITIMER_REAL, &often, NULL);
	for (int i = 0; i < 4; i++)
		check(!pthread_create(&all[i], NULL, storm, NULL));
	pid_t child = fork();
	if (!child)
		for (;;)
			pause();
	/* Its handler compares the sender, as the kernel has it here, with getpid (sysdeps/nptl, sigcancel_handler). */
	for (int i = 0; i < 20 && self == real; i++) {
		check(!pthread_create(&waiting, NULL, waits, NULL));
		sched_yield();
		check(!pthread_cancel(waiting) && !pthread_join(waiting, &result) && result == PTHREAD_CANCELED);
	}
	kill(child, SIGKILL);
	check(waitpid(child, NULL, 0) == child);
	ends = 1;
	for (int i = 0; i < 4; i++)
		check(!pthread_join(all[i], NULL));
	setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL);
	check(signals > 0);
}

int main(int argc, char **argv)
{
	uint64_t base = 0;
	struct record it;
	if (argc < 3)
		return 2;
	dl_iterate_phdr(find_library, &base);
	printf("%lx %d %d\n", base, getpid(), getppid());
	fflush(stdout);
	real = getpid();
	for (take(&it, sizeof it); it.size; take(&it, sizeof it))
		put(&it);
	self = atoi(argv[1]) ? atoi(argv[1]) : real;
	own = (uint32_t *)strtoul(argv[2], NULL, 16);
	numbers();
	check(*own == (uint32_t)self);
	registers();
	handlers();
	births();
	threads();
	numbers();
	puts("PASS");
	return 0;
}
