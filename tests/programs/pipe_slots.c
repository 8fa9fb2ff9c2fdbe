/* A pipe is full when its slots are used up, each by a write that did not fit into the last one, or by a byte that was
 * spliced: as many more fit in afterwards as before, and what is in it comes in the same order. */
#include "zt_test.h"

#include <poll.h>

enum { PAGE = 4096, SLOTS = 4, SIZE = 2300 };

static void make(int ends[2], int slots)
{
	char data[SIZE];
	zt_must(pipe2(ends, O_NONBLOCK));
	zt_same(fcntl(ends[1], F_SETPIPE_SZ, SLOTS * PAGE), SLOTS * PAGE);
	for (int i = 0; i < slots; i++) {
		memset(data, 'a' + i, sizeof data);
		zt_same(write(ends[1], data, sizeof data), SIZE);
	}
}

static bool takes(int fd)
{
	struct pollfd end = {.fd = fd, .events = POLLOUT};
	zt_must(poll(&end, 1, 0));
	return end.revents & POLLOUT;
}

static void gives(int fd, int slots)
{
	char data[SIZE], wanted[SIZE];
	for (int i = 0; i < slots; i++) {
		memset(wanted, 'a' + i, sizeof wanted);
		zt_same(read(fd, data, sizeof data), SIZE);
		zt_same(memcmp(data, wanted, sizeof data), 0);
	}
}

/* A byte for each slot. */
static void splice_in(int ends[2], const char *text)
{
	int from[2];
	zt_must(pipe(from));
	zt_must(pipe2(ends, O_NONBLOCK));
	zt_same(fcntl(ends[1], F_SETPIPE_SZ, SLOTS * PAGE), SLOTS * PAGE);
	zt_same(write(from[1], text, strlen(text)), strlen(text));
	for (size_t i = 0; i < strlen(text); i++)
		zt_same(splice(from[0], NULL, ends[1], NULL, 1, 0), 1);
	zt_must(close(from[0]));
	zt_must(close(from[1]));
}

int main(void)
{
	char page[PAGE] = {0};
	int full[2], half[2], parted[2];
	make(full, SLOTS);
	make(half, SLOTS / 2);
	splice_in(parted, "abcd");
	zt_check(!takes(full[1]));
	zt_check(!takes(parted[1]));

	zt_ready();

	zt_check(!takes(parted[1]));
	zt_same(read(parted[0], page, PAGE), SLOTS);
	zt_same(memcmp(page, "abcd", SLOTS), 0);
	zt_check(!takes(full[1]));
	zt_same(write(full[1], page, PAGE), -1);
	zt_same(errno, EAGAIN);
	for (int i = 0; i < SLOTS / 2; i++)
		zt_same(write(half[1], page, PAGE), PAGE);
	zt_check(!takes(half[1]));
	gives(full[0], SLOTS);
	gives(half[0], SLOTS / 2);
	zt_check(takes(full[1]));
	return zt_pass();
}
