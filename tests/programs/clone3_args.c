/* clone3 reads its arguments once: that another thread takes them away afterwards is nobody's matter. */
#include <linux/sched.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "zt_test.h"

enum { TURNS = 300 };

static struct clone_args *args;
static atomic_bool done;

static void *take_away(void *unused)
{
	while (!atomic_load(&done)) {
		zt_must(mprotect(args, 4096, PROT_NONE));
		zt_must(mprotect(args, 4096, PROT_READ | PROT_WRITE));
	}
	return unused;
}

static int make_children(void)
{
	int made = 0, status;
	for (int i = 0; i < TURNS; i++) {
		pid_t child = (pid_t)syscall(SYS_clone3, args, sizeof *args);
		if (child == 0)
			syscall(SYS_exit_group, 7);
		if (child < 0) {
			zt_same(errno, EFAULT);
			continue;
		}
		made++;
		zt_same(waitpid(child, &status, 0), child);
		zt_same(WEXITSTATUS(status), 7);
	}
	return made;
}

int main(void)
{
	pthread_t thread;
	args = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(args != MAP_FAILED);
	*args = (struct clone_args){.exit_signal = SIGCHLD};
	zt_same(pthread_create(&thread, NULL, take_away, NULL), 0);
	while (!make_children())
		;
	zt_ready();
	while (!make_children())
		;
	atomic_store(&done, true);
	zt_same(pthread_join(thread, NULL), 0);
	return zt_pass();
}
