/* A periodic timer whose SIGALRM waits to be taken: it is pending once, and when it is taken the timer
 * goes on. */
#include "zt_test.h"

#include <sys/time.h>

static volatile sig_atomic_t ticks;

static void on_alarm(int number)
{
	(void)number;
	ticks++;
}

int main(void)
{
	sigset_t set;
	struct itimerval every = {.it_value = {0, 10000}, .it_interval = {0, 10000}}, now;
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	zt_check(signal(SIGALRM, on_alarm) != SIG_ERR);
	zt_must(sigprocmask(SIG_BLOCK, &set, NULL));
	zt_must(setitimer(ITIMER_REAL, &every, NULL));
	do
		zt_must(sigpending(&set));
	while (!sigismember(&set, SIGALRM));

	zt_ready();

	zt_must(getitimer(ITIMER_REAL, &now));
	zt_same(now.it_interval.tv_usec, 10000);
	zt_same(now.it_value.tv_sec, 0);
	zt_same(now.it_value.tv_usec, 0);
	zt_must(sigpending(&set));
	zt_check(sigismember(&set, SIGALRM));
	sigemptyset(&set);
	for (int n = 0; ticks < 5; n++) {
		zt_check(n < 2000);
		struct timespec nap = {0, 5 * ZT_MS};
		zt_must(sigprocmask(SIG_SETMASK, &set, NULL));
		nanosleep(&nap, NULL);
	}
	return zt_pass();
}
