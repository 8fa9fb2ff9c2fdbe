/* A program whose file may be executed but not read starts as any other, and is told what the kernel
 * makes of it. */
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>

#include "zt_test.h"

extern char **environ;

/* In the program that may not be read. */
static int inner(char **argv)
{
	zt_check(strcmp(argv[2], "two words") == 0);
	zt_check(strcmp(getenv("ZT_INNER"), "here") == 0);
	zt_check(strcmp((const char *)getauxval(AT_EXECFN), "execute_only_tool") == 0);
	zt_check(access("execute_only_tool", R_OK) < 0 || geteuid() == 0);
	zt_check(prctl(PR_GET_DUMPABLE) != 1 || geteuid() == 0);
	zt_check(syscall(SYS_gettid) == getpid());
	sigset_t blocked;
	zt_must(sigprocmask(SIG_SETMASK, NULL, &blocked));
	zt_check(sigismember(&blocked, SIGUSR1) == 1 && sigismember(&blocked, SIGUSR2) == 0);
	pid_t child = zt_must(fork());
	if (child == 0)
		_exit(prctl(PR_GET_DUMPABLE) == 1 && geteuid() != 0);
	int status;
	zt_same(waitpid(child, &status, 0), child);
	zt_same(status, 0);
	return 21;
}

static void copy_self(void)
{
	struct stat from;
	int source = zt_must(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	unlink("execute_only_tool");
	int copy = zt_must(open("execute_only_tool", O_WRONLY | O_CREAT | O_CLOEXEC, 0700));
	zt_must(fstat(source, &from));
	for (off_t left = from.st_size; left > 0;)
		left -= zt_must(sendfile(copy, source, NULL, (size_t)left));
	zt_must(fchmod(copy, 0111));
	close(copy);
	close(source);
}

static void start_it(bool by_vfork)
{
	int status;
	char *const argv[] = {"tool", "inner", "two words", NULL};
	pid_t child = by_vfork ? vfork() : fork();
	if (child == 0) {
		execve("execute_only_tool", argv, environ);
		_exit(1);
	}
	zt_same(waitpid(child, &status, 0), child);
	zt_check(WIFEXITED(status));
	zt_same(WEXITSTATUS(status), 21);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return inner(argv);
	sigset_t mask;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	zt_must(sigprocmask(SIG_SETMASK, &mask, NULL));
	zt_same(setenv("ZT_INNER", "here", 1), 0);
	copy_self();
	start_it(false);
	start_it(true);
	zt_ready();
	start_it(false);
	start_it(true);
	zt_must(unlink("execute_only_tool"));
	return zt_pass();
}
