/* A chain of processes that pass numbers on, while they are moved. */
#include "zt_test.h"

#define STAGES 4

static void pass_on(int in, int out)
{
	int number;
	ssize_t n;
	while ((n = read(in, &number, sizeof number)) == sizeof number) {
		number++;
		zt_same(write(out, &number, sizeof number), sizeof number);
	}
	zt_same(n, 0);
	_exit(0);
}

int main(void)
{
	pid_t child[STAGES];
	int first[2], in, number;
	zt_must(pipe(first));
	in = first[0];
	for (int i = 0; i < STAGES; i++) {
		int next[2];
		zt_must(pipe(next));
		child[i] = zt_must(fork());
		if (child[i] == 0) {
			close(first[1]);
			close(next[0]);
			pass_on(in, next[1]);
		}
		close(in);
		close(next[1]);
		in = next[0];
	}
	zt_say_ready();
	for (int i = 0;; i++) {
		zt_same(write(first[1], &i, sizeof i), sizeof i);
		zt_same(read(in, &number, sizeof number), sizeof number);
		zt_same(number, i + STAGES);
		if (i > 100 && zt_may_go())
			break;
	}
	zt_must(close(first[1]));
	zt_same(read(in, &number, sizeof number), 0);
	for (int i = 0; i < STAGES; i++)
		zt_join(child[i]);
	return zt_pass();
}
