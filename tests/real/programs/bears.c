/* bears first|second: its first process, or the child of that, waits for the file in ZT_GO, and has a
 * child, which says that it was born. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int born[2];

static void bear(void)
{
	while (access(getenv("ZT_GO"), F_OK) != 0)
		usleep(1000);
	if (fork() == 0) {
		if (write(1, "born\n", 5) != 5 || write(born[1], "x", 1) != 1)
			_exit(1);
		_exit(0);
	}
	pause();
}

int main(int argc, char **argv)
{
	char byte;

	if (argc != 2 || pipe(born) != 0 || !getenv("ZT_GO"))
		return 2;
	puts("ready");
	fflush(stdout);
	if (strcmp(argv[1], "second") != 0 || fork() == 0)
		bear();
	if (wait(NULL) < 0 || read(born[0], &byte, 1) != 1)
		return 1;
	return 0;
}
