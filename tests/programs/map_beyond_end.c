/* Mappings that reach beyond the end of what they map, of removed files and memory without a path:
 * the end is where it was, what lies before it too, also where it may not be read at the moment. */
#include "zt_test.h"

#include <setjmp.h>
#include <sys/mman.h>

enum { PAGE = 4096, PAGES = 64 };

static sigjmp_buf back;

static void on_fault(int signal)
{
	siglongjmp(back, signal);
}

static int fault_at(volatile char *at)
{
	int signal = sigsetjmp(back, 1);
	if (signal == 0)
		*at;
	return signal;
}

static char *map(int fd, int flags)
{
	char *at = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
	zt_check(at != MAP_FAILED);
	return at;
}

static int removed(const char *what, size_t size)
{
	char path[64];
	int fd = zt_file(path, sizeof path, what);
	zt_must(ftruncate(fd, (off_t)size));
	for (size_t at = 0; at < size; at += PAGE)
		zt_same(pwrite(fd, &(char){(char)(at / PAGE + 1)}, 1, (off_t)at), 1);
	zt_must(unlink(path));
	return fd;
}

static void check(char *at, int end)
{
	for (int i = 0; i < PAGES; i++) {
		zt_same(fault_at(at + i * PAGE), i < end ? 0 : SIGBUS);
		if (i < end)
			zt_same(at[i * PAGE], (char)(i + 1));
	}
}

int main(void)
{
	signal(SIGBUS, on_fault);
	signal(SIGSEGV, on_fault);
	int fd = removed("library", 5 * PAGE + 100);
	char *private = map(fd, MAP_PRIVATE), *shared = map(fd, MAP_SHARED);
	private[2 * PAGE + 1] = 'w'; /* one page is its own, the others are the file's */
	zt_must(mprotect(private + 4 * PAGE, 2 * PAGE, PROT_NONE));
	zt_must(mprotect(private + 20 * PAGE, 20 * PAGE, PROT_NONE));
	zt_must(close(fd));

	/* Private alone, shortened after it was mapped; the end lies in the middle of another mapping. */
	int cut = removed("cut", PAGES * PAGE);
	char *alone = map(cut, MAP_PRIVATE);
	alone[PAGE + 1] = 'w';
	zt_must(mprotect(alone + 8 * PAGE, 8 * PAGE, PROT_READ));
	zt_must(ftruncate(cut, 11 * PAGE));
	zt_must(close(cut));

	/* Memory without a path, of which nothing may be read now. */
	int memory = zt_must(memfd_create("hidden", MFD_CLOEXEC));
	zt_must(ftruncate(memory, 10 * PAGE));
	char *hidden = map(memory, MAP_SHARED);
	for (int i = 0; i < 10; i++)
		hidden[i * PAGE] = (char)(i + 1);
	zt_must(mprotect(hidden, PAGES * PAGE, PROT_NONE));
	zt_must(close(memory));
	char *anonymous = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	zt_check(anonymous != MAP_FAILED);
	for (int i = 0; i < PAGES; i++)
		anonymous[i * PAGE] = (char)(i + 1);
	zt_must(mprotect(anonymous, PAGES * PAGE, PROT_NONE));

	zt_ready();

	zt_must(mprotect(private, PAGES * PAGE, PROT_READ | PROT_WRITE));
	check(private, 6);
	zt_same(private[2 * PAGE + 1], 'w');
	check(shared, 6);
	zt_same(shared[2 * PAGE + 1], 0);
	shared[3 * PAGE + 5] = 's';
	zt_same(private[3 * PAGE + 5], 's'); /* not written by itself, so it follows the object */
	check(alone, 11);
	zt_same(alone[PAGE + 1], 'w');
	zt_must(mprotect(hidden, PAGES * PAGE, PROT_READ | PROT_WRITE));
	check(hidden, 10);
	zt_must(mprotect(anonymous, PAGES * PAGE, PROT_READ | PROT_WRITE));
	check(anonymous, PAGES);
	return zt_pass();
}
