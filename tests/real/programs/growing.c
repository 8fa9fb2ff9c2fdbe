/* Grows a heap, writes, sleeps and counts, without a word of where or when. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 40, SIZE = 4000 };

int main(void)
{
	char *kept[ROUNDS] = {0};
	const struct timespec nap = {0, 30 * 1000 * 1000};
	for (int round = 0; round < ROUNDS; round++) {
		struct timespec before, after;
		clock_gettime(CLOCK_MONOTONIC, &before);
		kept[round] = malloc(SIZE);
		memset(kept[round], round, SIZE);
		long sum = 0;
		for (int i = 0; i <= round; i++)
			for (int at = 0; at < SIZE; at++)
				sum += kept[i][at];
		nanosleep(&nap, NULL);
		clock_gettime(CLOCK_MONOTONIC, &after);
		double took = (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9;
		printf("%d %ld %s\n", round, sum, took > 0.029 && took < 60 ? "on time" : "not on time");
		fflush(stdout);
		if (round % 3 == 0) {
			free(kept[round]);
			kept[round] = calloc(1, SIZE);
		}
	}
	for (int i = 0; i < ROUNDS; i++)
		free(kept[i]);
	return 0;
}
