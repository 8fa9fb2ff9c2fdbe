/* What the parts of composed.c share: the page that all processes see, and what this one has.
 *
 * Steps may fail: a script is made by chance, and what the kernel refuses is not there. What is
 * there when the script has ended must be there, the same, when the go has come.
 */
#ifndef COMPOSED_H
#define COMPOSED_H

#include "../../programs/zt_test.h"

#include <pthread.h>
#include <sys/mman.h>

enum { PAGE = 4096, FORKS = 64, AREAS = 48, NUMBERS = 64, CHILDREN = 24, THREADS = 8 };
enum phase { SETUP, SETTLE, CHECK, CONSUME, END };

/* One shared page. A process arrives in a phase when it has done what belongs to it. */
struct control {
	pid_t root;
	_Atomic int phase, alive, files, forks;
	_Atomic int arrived[END + 1];
	_Atomic int rested[FORKS];
};

static struct control *control;

/* Waits for a condition, which must come true. */
#define until(condition)                                                                           \
	do {                                                                                       \
		int until_left = 5000;                                                            \
		while (!(condition)) {                                                             \
			if (until_left-- == 0)                                                     \
				zt_fail("%s:%d: %s never came", __FILE__, __LINE__, #condition);   \
			usleep(2000);                                                              \
		}                                                                                  \
	} while (0)

static inline void wait_phase(enum phase wanted)
{
	/* Without an end: it may take as long as whoever gives the go likes. */
	while (control->phase < (int)wanted) {
		struct timespec t = {0, 5 * ZT_MS};
		nanosleep(&t, NULL);
		if (kill(control->root, 0) && errno == ESRCH)
			_exit(3); /* it has failed */
	}
}

static inline char pattern(int seed, size_t i)
{
	return (char)(seed * 31 + (int)i * 7 + (int)(i >> 8) + 1);
}

static inline void fill(char *at, size_t size, int seed)
{
	for (size_t i = 0; i < size; i++)
		at[i] = pattern(seed, i);
}

static inline uint64_t hashed(uint64_t sum, const void *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		sum = (sum ^ ((const unsigned char *)data)[i]) * 0x100000001b3;
	return sum;
}

#define pick_from(list, index) ((list)[(unsigned)(index) % (sizeof(list) / sizeof *(list))])

/* A name that no other file of the script has. */
static inline void new_name(char name[32], const char *what)
{
	snprintf(name, 32, "%s%d", what, control->files++);
}

/* A new file of this size with a pattern in it; -1 where the directory is gone. */
static inline int new_file(const char *name, size_t size, int seed, int mode)
{
	char data[PAGE];
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL, mode);
	for (size_t done = 0; fd >= 0 && done < size;) {
		fill(data, sizeof data, seed + (int)(done / PAGE));
		size_t more = size - done < PAGE ? size - done : PAGE;
		ssize_t n = write(fd, data, more);
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return fd;
}

#endif
