/* A program may do to its memory what it likes, also where zaptrace keeps the stub in a pod: natively
 * these calls do nothing. Each child does another thing to it, is caught in another kind of wait, and
 * must neither be harmed nor notice. None uses the vDSO afterwards; where it was undone it stays so. */
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "zt_test.h"

#define STUB ((char *)0x7e9000000000)
#define VDSO 0x1000
#define PARAMS 0x4000
#define INTERPRETER 0x6000
#define HOST 0x8000
#define DATA 0x40000

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static size_t size = 1 << 20; /* natively there is nothing */

static bool in_pod(void)
{
	return getauxval(AT_SYSINFO_EHDR) == (unsigned long)STUB + VDSO;
}

static void find_size(void)
{
	char line[512];
	unsigned long start, end;
	FILE *maps = fopen("/proc/self/maps", "re");
	zt_check(maps != NULL);
	while (fgets(line, sizeof line, maps))
		if (sscanf(line, "%lx-%lx", &start, &end) == 2 && start - (unsigned long)STUB < 1 << 30)
			size = end - (unsigned long)STUB;
	fclose(maps);
}

static void is_unmapped(const char *address)
{
	zt_same(msync((void *)address, 1, MS_ASYNC), -1);
	zt_same(errno, ENOMEM);
}

static void is_closed(const char *address)
{
	int fd = zt_must(open("/proc/self/comm", O_WRONLY));
	zt_same(write(fd, address, 1), -1);
	zt_same(errno, EFAULT);
	zt_must(close(fd));
}

static void unmap_all(void)
{
	zt_must(munmap(STUB, size));
}

static void unmap_interpreter(void)
{
	zt_must(munmap(STUB + INTERPRETER, HOST - INTERPRETER));
}

static void unmap_middle_of_data(void)
{
	zt_must(munmap(STUB + DATA + 4096, 8 * 4096));
}

static void close_all(void)
{
	if (in_pod())
		zt_must(mprotect(STUB, size, PROT_NONE));
}

static void make_all_readable(void)
{
	if (!in_pod())
		return;
	zt_must(mprotect(STUB, HOST, PROT_READ));
	zt_must(mprotect(STUB + DATA, size - DATA, PROT_READ));
}

static void make_code_writable(void)
{
	if (in_pod())
		zt_must(mprotect(STUB, HOST, PROT_READ | PROT_WRITE | PROT_EXEC));
}

/* A child gets nothing of the stub, and lives on. */
static void not_for_children(void)
{
	if (in_pod())
		zt_must(madvise(STUB, size, MADV_DONTFORK));
	pid_t child = zt_must(fork());
	if (child)
		_exit(waitpid(child, &(int){0}, 0) == child ? 0 : 1);
}

static void empty_for_children(void)
{
	if (in_pod()) {
		zt_must(madvise(STUB + INTERPRETER, HOST - INTERPRETER, MADV_WIPEONFORK));
		zt_must(madvise(STUB + DATA, size - DATA, MADV_WIPEONFORK));
	}
	pid_t child = zt_must(fork());
	if (child)
		_exit(waitpid(child, &(int){0}, 0) == child ? 0 : 1);
}

static void (*const undo[])(void) = {
	unmap_all,	   unmap_interpreter,  unmap_middle_of_data, close_all,
	make_all_readable, make_code_writable, not_for_children,     empty_for_children,
};
enum { WAYS = sizeof undo / sizeof *undo };

static void read_one(int fd)
{
	char byte;
	zt_same(syscall(SYS_read, fd, &byte, 1), 1);
	zt_same(byte, 'x');
}

/* Not by the vDSO, and with nothing that a signal or a freeze may cut short. */
static void sleep_raw(void)
{
	struct timespec span = {0, 300 * 1000 * 1000};
	zt_same(syscall(SYS_nanosleep, &span, NULL), 0);
}

static void live(int way, int wait, int told, int ready)
{
	undo[way]();
	zt_same(write(ready, "r", 1), 1);
	if (wait == 1)
		raise(SIGSTOP);
	if (wait == 2)
		sleep_raw();
	read_one(told);
	if (undo[way] == unmap_all) {
		is_unmapped(STUB + VDSO);
		is_unmapped(STUB + HOST);
	}
	if (undo[way] == close_all) {
		is_closed(STUB + VDSO);
		is_closed(STUB + HOST);
	}
	volatile double sum = 0; /* registers of all kinds */
	for (int i = 1; i <= 1000; i++)
		sum += 1.0 / i;
	zt_check(sum > 7.48 && sum < 7.49);
	_exit(0);
}

int main(void)
{
	enum { WAITS = 3 };
	int told[2], ready[2];
	pid_t child[WAYS * WAITS];
	find_size();
	zt_must(pipe(told));
	zt_must(pipe(ready));
	for (int i = 0; i < WAYS * WAITS; i++) {
		child[i] = zt_must(fork());
		if (!child[i])
			live(i / WAITS, i % WAITS, told[0], ready[1]);
	}
	for (int i = 0; i < WAYS * WAITS; i++) {
		char byte;
		zt_same(read(ready[0], &byte, 1), 1);
	}
	/* Of those that have a child of their own, that one stops. */
	for (int i = 1; i < WAYS * WAITS; i += WAITS)
		if (i / WAITS < WAYS - 2)
			zt_same(waitpid(child[i], &(int){0}, WUNTRACED), child[i]);
	zt_ready();
	for (int i = 0; i < WAYS * WAITS; i++)
		zt_writes(told[1], "x");
	zt_must(kill(0, SIGCONT));
	for (int i = 0; i < WAYS * WAITS; i++)
		zt_join(child[i]);
	return zt_pass();
}
