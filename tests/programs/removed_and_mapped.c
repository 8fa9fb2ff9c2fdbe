/* One removed file, mapped and open in two processes, privately and shared, also where a mapping goes
 * on beyond its end. It is one file again. */
#include "zt_test.h"

#include <setjmp.h>
#include <sys/mman.h>

#define PAGE 4096

static sigjmp_buf env;

static void fault(int sig)
{
	siglongjmp(env, sig);
}

/* The signal that a look at `p` raises, or 0. */
static int look(volatile char *p)
{
	int sig = sigsetjmp(env, 1);
	if (sig == 0)
		(void)*p;
	return sig;
}

static char *map(int fd, size_t size, int flags)
{
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
	zt_check(at != MAP_FAILED);
	return at;
}

int main(void)
{
	char path[64], lib[64], text[16] = {0};
	signal(SIGBUS, fault);
	signal(SIGSEGV, fault);
	int fd = zt_file(path, sizeof path, "removed");
	zt_must(ftruncate(fd, 3 * PAGE));
	char *shared = map(fd, 3 * PAGE, MAP_SHARED);
	char *private = map(fd, 3 * PAGE, MAP_PRIVATE);
	strcpy(shared, "first");
	strcpy(private + PAGE, "own");
	zt_must(unlink(path));

	/* As an upgrade leaves a library: mapped only, removed, and shorter than its mapping. */
	int gone = zt_file(lib, sizeof lib, "lib");
	memset(text, 9, sizeof text);
	for (int i = 0; i < PAGE + 100; i += 4)
		zt_same(pwrite(gone, text, 4, i), 4);
	char *code = map(gone, 8 * PAGE, MAP_PRIVATE);
	zt_must(close(gone));
	code[1] = 5;
	zt_same(code[PAGE], 9);
	zt_must(mprotect(code + 4 * PAGE, 4 * PAGE, PROT_NONE));
	zt_must(unlink(lib));

	int go[2], back[2];
	zt_must(pipe(go));
	zt_must(pipe(back));
	pid_t child = zt_must(fork());
	if (child == 0) {
		zt_must(close(fd)); /* it has the mapping only */
		zt_reads(go[0], "go");
		zt_check(strcmp(shared, "by the parent") == 0);
		zt_check(strcmp(private + PAGE, "own") == 0);
		zt_check(strcmp(private, "by the parent") == 0);
		strcpy(shared + 2 * PAGE, "by the child");
		zt_writes(back[1], "done");
		_exit(0);
	}

	zt_ready();

	zt_same(pwrite(fd, "by the parent", 14, 0), 14);
	zt_check(strcmp(shared, "by the parent") == 0);
	zt_check(strcmp(private, "by the parent") == 0);
	zt_writes(go[1], "go");
	zt_reads(back[0], "done");
	zt_join(child);
	memset(text, 0, sizeof text);
	zt_same(pread(fd, text, 13, 2 * PAGE), 13);
	zt_check(strcmp(text, "by the child") == 0);
	zt_check(strcmp(private + 2 * PAGE, "by the child") == 0);
	zt_check(strcmp(private + PAGE, "own") == 0);
	zt_same(pread(fd, text, 1, PAGE), 1);
	zt_same(text[0], 0);
	struct stat st;
	zt_must(fstat(fd, &st));
	zt_same(st.st_nlink, 0);
	zt_same(st.st_size, 3 * PAGE);

	zt_check(code[0] == 9 && code[1] == 5 && code[PAGE + 99] == 9 && code[PAGE + 100] == 0);
	zt_same(look(code + 2 * PAGE), SIGBUS);
	zt_same(look(code + 5 * PAGE), SIGSEGV);
	return zt_pass();
}
