/* Timers on CPU-time clocks, armed before and after: of the process, of the thread that made one, of a
 * thread that is named; and a sleep until the process has used so much. */
#include "zt_test.h"

#include <pthread.h>
#include <sys/syscall.h>

enum { OF_PROCESS, OF_MAKER, NAMED, TIMERS };
static timer_t timers[TIMERS];
static pthread_t thread;
static int up[2], done[2];
static sigset_t set;

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

static struct itimerspec at(int64_t ns)
{
	return (struct itimerspec){.it_value = {ns / 1000000000, ns % 1000000000}};
}

static void make(int which, clockid_t clock)
{
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
	event.sigev_value.sival_int = which;
	zt_must(timer_create(clock, &event, &timers[which]));
}

/* It comes, and not before the clock shows `ns`. */
static void comes(int which, clockid_t clock, int64_t ns)
{
	siginfo_t info;
	struct timespec at_once = {0, 0};
	for (;;) {
		int64_t now = used(clock); /* before: it can be told only after it is due */
		if (sigtimedwait(&set, &info, &at_once) == SIGRTMIN + 3)
			break;
		if (now > ns + 1000000000)
			zt_fail("timer %d was due at %lld and has not come at %lld", which, (long long)ns,
				(long long)now);
		burn(1 * ZT_MS);
	}
	zt_same(info.si_value.sival_int, which);
	zt_check(used(clock) >= ns);
}

static void *works(void *unused)
{
	char byte;
	burn(100 * ZT_MS);
	int64_t due = used(CLOCK_THREAD_CPUTIME_ID) + 200 * ZT_MS;
	struct itimerspec spec = at(due), left;
	make(OF_MAKER, CLOCK_THREAD_CPUTIME_ID);
	zt_must(timer_settime(timers[OF_MAKER], TIMER_ABSTIME, &spec, NULL));
	zt_same(write(up[1], "x", 1), 1);
	zt_same(read(done[0], &byte, 1), 1);

	zt_must(timer_gettime(timers[OF_MAKER], &left));
	zt_check(left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 1000000 &&
		 left.it_value.tv_nsec <= 200 * ZT_MS);
	comes(OF_MAKER, CLOCK_THREAD_CPUTIME_ID, due);
	due = used(CLOCK_THREAD_CPUTIME_ID) + 50 * ZT_MS;
	spec = at(due);
	zt_must(timer_settime(timers[OF_MAKER], TIMER_ABSTIME, &spec, NULL));
	comes(OF_MAKER, CLOCK_THREAD_CPUTIME_ID, due);
	zt_must(fcntl(done[0], F_SETFL, O_NONBLOCK));
	zt_same(write(up[1], "x", 1), 1);
	for (;;) { /* for who sleeps */
		if (read(done[0], &byte, 1) == 1)
			return unused;
		burn(1 * ZT_MS);
	}
}

int main(void)
{
	char byte;
	clockid_t named;
	zt_must(pipe2(up, O_CLOEXEC));
	zt_must(pipe2(done, O_CLOEXEC));
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 3);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	zt_same(pthread_create(&thread, NULL, works, NULL), 0);
	zt_same(read(up[0], &byte, 1), 1);
	zt_same(pthread_getcpuclockid(thread, &named), 0);
	burn(100 * ZT_MS);
	make(OF_PROCESS, CLOCK_PROCESS_CPUTIME_ID);
	make(NAMED, named);
	int64_t due = used(CLOCK_PROCESS_CPUTIME_ID) + 200 * ZT_MS;
	struct itimerspec spec = at(due), left;
	zt_must(timer_settime(timers[OF_PROCESS], TIMER_ABSTIME, &spec, NULL));

	zt_ready();

	zt_must(timer_gettime(timers[OF_PROCESS], &left));
	zt_check(left.it_value.tv_sec == 0 && left.it_value.tv_nsec > 1000000 &&
		 left.it_value.tv_nsec <= 200 * ZT_MS);
	comes(OF_PROCESS, CLOCK_PROCESS_CPUTIME_ID, due);
	due = used(CLOCK_PROCESS_CPUTIME_ID) + 50 * ZT_MS;
	spec = at(due);
	zt_must(timer_settime(timers[OF_PROCESS], TIMER_ABSTIME, &spec, NULL));
	comes(OF_PROCESS, CLOCK_PROCESS_CPUTIME_ID, due);
	spec = at(used(named)); /* has passed already */
	zt_must(timer_settime(timers[NAMED], TIMER_ABSTIME, &spec, NULL));
	comes(NAMED, named, used(named));
	zt_same(write(done[1], "x", 1), 1);
	zt_same(read(up[0], &byte, 1), 1);
	int64_t until = used(CLOCK_PROCESS_CPUTIME_ID) + 50 * ZT_MS;
	struct timespec wake = {until / 1000000000, until % 1000000000};
	zt_same(clock_nanosleep(CLOCK_PROCESS_CPUTIME_ID, TIMER_ABSTIME, &wake, NULL), 0);
	int64_t woke = used(CLOCK_PROCESS_CPUTIME_ID);
	zt_check(woke >= until && woke < until + 1000000000);
	clockid_t mine;
	zt_same(clock_getcpuclockid(getpid(), &mine), 0);
	wake = (struct timespec){0, 20 * ZT_MS};
	until = used(mine) + 20 * ZT_MS;
	zt_same(syscall(SYS_clock_nanosleep, mine, 0, &wake, NULL), 0);
	zt_check(used(mine) >= until);
	zt_same(write(done[1], "x", 1), 1);
	zt_same(pthread_join(thread, NULL), 0);
	return zt_pass();
}
