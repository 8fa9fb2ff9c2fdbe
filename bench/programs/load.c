/* load bytes N | processes N | threads N: something to freeze and to checkpoint.
 *
 * bytes: N MiB of random bytes in one process. Says ready, then waits to be killed. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void *wait_for_ever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	size_t n = strtoul(argv[2], NULL, 10);

	if (strcmp(argv[1], "bytes") == 0) {
		size_t words = n << 17;
		uint64_t *memory = malloc(words * sizeof *memory), x = 88172645463325252u;
		if (memory == NULL && words > 0)
			return 1;
		for (size_t i = 0; i < words; i++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			memory[i] = x;
		}
	} else if (strcmp(argv[1], "processes") == 0) {
		for (size_t i = 1; i < n; i++) {
			pid_t child = fork();
			if (child < 0)
				return 1;
			if (child == 0) {
				prctl(PR_SET_PDEATHSIG, SIGKILL);
				wait_for_ever(NULL);
			}
		}
	} else {
		pthread_attr_t small;
		pthread_attr_init(&small);
		pthread_attr_setstacksize(&small, 64 << 10);
		for (size_t i = 1; i < n; i++) {
			pthread_t id;
			if (pthread_create(&id, &small, wait_for_ever, NULL) != 0)
				return 1;
		}
	}
	puts("ready");
	fflush(stdout);
	wait_for_ever(NULL);
}
