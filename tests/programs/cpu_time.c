/* What was used goes on counting: CPU time of a process, of a thread and of children by every call that
 * tells it, page faults, and the child that nobody has waited for yet. */
#include "zt_test.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/times.h>

enum { MOST = 40 };
static int64_t before[MOST], after[MOST];
static const char *what[MOST];
static int done[2], tell[2], count;
static clockid_t of_thread, of_child;

static int64_t used(clockid_t clock)
{
	return zt_now_ns(clock);
}

static void burn(int64_t ns)
{
	for (int64_t end = used(CLOCK_THREAD_CPUTIME_ID) + ns; used(CLOCK_THREAD_CPUTIME_ID) < end;)
		for (volatile int i = 0; i < 10000; i++)
			;
}

static void note(int64_t *into, const char *name, int64_t value)
{
	zt_check(count < MOST);
	what[count] = name;
	into[count++] = value;
}

static int64_t us(struct timeval time)
{
	return time.tv_sec * 1000000LL + time.tv_usec;
}

static void note_usage(int64_t *into, const struct rusage *r)
{
	note(into, "ru_utime", us(r->ru_utime));
	note(into, "ru_stime", us(r->ru_stime));
	note(into, "ru_maxrss", r->ru_maxrss);
	note(into, "ru_minflt", r->ru_minflt);
	note(into, "ru_nvcsw", r->ru_nvcsw);
}

static void look(int64_t *into)
{
	struct rusage r;
	struct tms t;
	count = 0;
	note(into, "clock", clock());
	note(into, "CLOCK_PROCESS_CPUTIME_ID", used(CLOCK_PROCESS_CPUTIME_ID));
	note(into, "CLOCK_THREAD_CPUTIME_ID", used(CLOCK_THREAD_CPUTIME_ID));
	note(into, "the other thread's clock", used(of_thread));
	note(into, "the child's clock", used(of_child));
	note(into, "its own, user and system", used((clockid_t)(~0u << 3)));
	note(into, "its own, user", used((clockid_t)(~0u << 3 | 1)));
	zt_must(times(&t));
	note(into, "tms_utime", t.tms_utime);
	note(into, "tms_stime", t.tms_stime);
	note(into, "tms_cutime", t.tms_cutime);
	note(into, "tms_cstime", t.tms_cstime);
	const int whose[] = {RUSAGE_SELF, RUSAGE_CHILDREN, RUSAGE_THREAD};
	for (int i = 0; i < 3; i++) {
		zt_must(getrusage(whose[i], &r));
		note_usage(into, &r);
	}
}

static void same_or_little_more(void)
{
	const int64_t second = 1000000000;
	for (int i = 0; i < count; i++)
		if (after[i] < before[i])
			zt_fail("%s went back from %lld to %lld", what[i], (long long)before[i],
				(long long)after[i]);
	/* What the restore itself used is none of the program's. */
	zt_check(after[1] - before[1] < second && after[2] - before[2] < second);
	zt_check(after[0] - before[0] < CLOCKS_PER_SEC);
}

static void *works(void *unused)
{
	char byte;
	struct rusage r;
	burn(150 * ZT_MS);
	zt_same(write(tell[1], "x", 1), 1);
	zt_same(read(done[0], &byte, 1), 1);
	zt_must(getrusage(RUSAGE_THREAD, &r));
	zt_check(us(r.ru_utime) + us(r.ru_stime) >= 150000);
	zt_check(used(CLOCK_THREAD_CPUTIME_ID) >= 150 * ZT_MS);
	return unused;
}

int main(void)
{
	pthread_t thread;
	char byte;
	struct rusage r;
	siginfo_t info;
	zt_must(pipe(done));
	zt_must(pipe(tell));
	pid_t waited = zt_must(fork());
	if (waited == 0) {
		burn(100 * ZT_MS);
		_exit(0);
	}
	zt_join(waited);
	pid_t zombie = zt_must(fork());
	if (zombie == 0) {
		pid_t grandchild = zt_must(fork());
		burn(100 * ZT_MS);
		if (grandchild == 0)
			_exit(0);
		zt_join(grandchild);
		_exit(0);
	}
	zt_must(waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT));
	pid_t living = zt_must(fork());
	if (living == 0) {
		burn(100 * ZT_MS);
		zt_same(write(tell[1], "x", 1), 1);
		zt_same(read(done[0], &byte, 1), 1);
		_exit(0);
	}
	zt_same(read(tell[0], &byte, 1), 1);
	zt_same(pthread_create(&thread, NULL, works, NULL), 0);
	zt_same(read(tell[0], &byte, 1), 1);
	zt_same(pthread_getcpuclockid(thread, &of_thread), 0);
	zt_same(clock_getcpuclockid(living, &of_child), 0);
	burn(150 * ZT_MS);
	look(before);

	zt_ready();

	look(after);
	same_or_little_more();
	int64_t children = us((zt_must(getrusage(RUSAGE_CHILDREN, &r)), r).ru_utime);

	zt_must(syscall(SYS_waitid, P_PID, zombie, NULL, WEXITED | WNOWAIT, &r));
	zt_check(us(r.ru_utime) + us(r.ru_stime) >= 195000);
	zt_same(us((zt_must(getrusage(RUSAGE_CHILDREN, &r)), r).ru_utime), children);
	zt_must(syscall(SYS_waitid, P_PID, zombie, NULL, WEXITED, &r));
	zt_check(us(r.ru_utime) + us(r.ru_stime) >= 195000);
	zt_must(getrusage(RUSAGE_CHILDREN, &r));
	zt_check(us(r.ru_utime) + us(r.ru_stime) >= 295000);

	zt_must(kill(living, SIGSTOP));
	zt_same(wait4(living, NULL, WUNTRACED, &r), living); /* tells, and takes nothing */
	zt_check(us(r.ru_utime) + us(r.ru_stime) >= 99000);
	zt_must(kill(living, SIGCONT));
	zt_same(write(done[1], "xx", 2), 2);
	zt_same(wait4(living, NULL, 0, &r), living);
	zt_check(us(r.ru_utime) + us(r.ru_stime) >= 99000);
	zt_must(getrusage(RUSAGE_CHILDREN, &r));
	zt_check(us(r.ru_utime) + us(r.ru_stime) >= 394000);
	struct tms t;
	zt_must(times(&t));
	zt_check(t.tms_cutime + t.tms_cstime >= 36);
	zt_same(pthread_join(thread, NULL), 0);

	pid_t fresh = zt_must(fork()); /* begins at 0 */
	if (fresh == 0) {
		zt_must(getrusage(RUSAGE_SELF, &r));
		zt_check(us(r.ru_utime) + us(r.ru_stime) < 100000);
		zt_check(used(CLOCK_PROCESS_CPUTIME_ID) < 100 * ZT_MS);
		zt_must(getrusage(RUSAGE_CHILDREN, &r));
		zt_same(us(r.ru_utime) + us(r.ru_stime), 0);
		_exit(0);
	}
	zt_join(fresh);
	return zt_pass();
}
