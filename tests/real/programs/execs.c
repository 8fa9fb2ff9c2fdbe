/* Its child waits for the file in ZT_GO, and executes this again, which says so. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	int status;

	if (argc > 1)
		return puts("again") < 0;
	puts("ready");
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		while (access(getenv("ZT_GO"), F_OK) != 0)
			usleep(1000);
		execl("/proc/self/exe", argv[0], "again", NULL);
		_exit(1);
	}
	return waitpid(child, &status, 0) != child || status != 0;
}
