/* Counts primes, slowly enough to be moved: the sums at the end tell if a step was lost. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LIMIT = 300000, STEPS = 60 };

int main(void)
{
	unsigned char *sieve = malloc(LIMIT + 1);
	uint64_t hash = 14695981039346656037u;
	struct timespec last, now;

	memset(sieve, 1, LIMIT + 1);
	clock_gettime(CLOCK_MONOTONIC, &last);
	for (int step = 0; step < STEPS; step++) {
		int low = LIMIT / STEPS * step, high = LIMIT / STEPS * (step + 1), primes = 0;
		for (int n = low < 2 ? 2 : low; n < high; n++) {
			int prime = 1;
			for (int d = 2; d * d <= n && prime; d++)
				prime = n % d != 0;
			sieve[n] = prime;
			primes += prime;
			hash = (hash ^ (uint64_t)prime) * 1099511628211u;
		}
		usleep(25000);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec < last.tv_sec ||
		    (now.tv_sec == last.tv_sec && now.tv_nsec < last.tv_nsec))
			puts("time went backwards");
		last = now;
		printf("step %d primes %d hash %016llx\n", step, primes, (unsigned long long)hash);
		fflush(stdout);
	}
	free(sieve);
	return 0;
}
