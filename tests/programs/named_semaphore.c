/* sem_open(3) makes its file under another name, links and removes it; shm_open(3) uses O_NOFOLLOW.
 * Two processes that have them by their names still share them, also once the names are gone. */
#include "zt_test.h"

#include <semaphore.h>
#include <sys/mman.h>

enum { NAMED, UNLINKED, N };

struct pair {
	char name[64];
	sem_t *sem;
	int fd;
	volatile int *words;
};

static void open_pair(struct pair *p, int flags)
{
	p->sem = sem_open(p->name, flags, 0600, 0);
	zt_check(p->sem != SEM_FAILED);
	p->fd = zt_must(shm_open(p->name, O_RDWR | flags, 0600));
	if (flags)
		zt_must(ftruncate(p->fd, 4096));
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, p->fd, 0);
	zt_check(at != MAP_FAILED);
	p->words = at;
	int value; /* looked at once, so that its page is here */
	zt_must(sem_getvalue(p->sem, &value));
}

int main(void)
{
	struct pair pairs[N];
	for (int i = 0; i < N; i++) {
		snprintf(pairs[i].name, sizeof pairs[i].name, "/zt-%d-%lld-%d", (int)getpid(),
			 (long long)zt_now_ns(CLOCK_REALTIME), i);
		open_pair(&pairs[i], O_CREAT | O_EXCL);
	}
	int tell[2];
	zt_must(pipe(tell));
	pid_t child = zt_must(fork());
	if (child == 0) {
		for (int i = 0; i < N; i++)
			open_pair(&pairs[i], 0);
		zt_same(write(tell[1], "r", 1), 1);
		for (int i = 0; i < N; i++) {
			zt_must(sem_wait(pairs[i].sem));
			pairs[i].words[0] = i + 1;
			zt_must(sem_post(pairs[i].sem));
			zt_same(write(tell[1], "d", 1), 1);
		}
		_exit(0);
	}
	char byte;
	zt_same(read(tell[0], &byte, 1), 1);
	zt_must(sem_unlink(pairs[UNLINKED].name));
	zt_must(shm_unlink(pairs[UNLINKED].name));
	int flags = fcntl(pairs[UNLINKED].fd, F_GETFL);

	zt_ready();

	zt_same(fcntl(pairs[UNLINKED].fd, F_GETFL), flags);
	for (int i = 0; i < N; i++) {
		zt_must(sem_post(pairs[i].sem));
		zt_same(read(tell[0], &byte, 1), 1);
		zt_same(pairs[i].words[0], i + 1);
		int word;
		zt_same(pread(pairs[i].fd, &word, sizeof word, 0), sizeof word);
		zt_same(word, i + 1);
	}
	zt_join(child);
	sem_t *again = sem_open(pairs[NAMED].name, 0);
	zt_check(again != SEM_FAILED);
	int value;
	zt_must(sem_getvalue(again, &value));
	zt_same(value, 1);
	zt_must(sem_unlink(pairs[NAMED].name));
	zt_must(shm_unlink(pairs[NAMED].name));
	zt_check(sem_open(pairs[UNLINKED].name, 0) == SEM_FAILED && errno == ENOENT);
	return zt_pass();
}
