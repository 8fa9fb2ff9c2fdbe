/* Huge pages (hugetlb): private and shared ones without a name, a memfd of them, read-only and not
 * touched at all. They are those of two processes. */
#include "zt_test.h"

#include <sys/mman.h>
#include <sys/vfs.h>

#define HUGE ((size_t)2 << 20)
#define TWO_MIB (21 << MAP_HUGE_SHIFT)

static char *map(size_t size, int flags, int fd)
{
	return zt_must(mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0));
}

static void *nameless(size_t size, int flags)
{
	return map(size, flags | MAP_ANONYMOUS | MAP_HUGETLB | TWO_MIB, -1);
}

/* The kernel counts it among huge pages. */
static void is_huge(const char *address)
{
	char line[512], key[64];
	bool here = false;
	snprintf(key, sizeof key, "%lx-", (unsigned long)address);
	FILE *smaps = fopen("/proc/self/smaps", "r");
	while (fgets(line, sizeof line, smaps)) {
		if (!strncmp(line, key, strlen(key)))
			here = true;
		if (here && !strncmp(line, "KernelPageSize:", 15))
			break;
	}
	zt_check(here && strstr(line, " 2048 kB"));
	fclose(smaps);
}

int main(void)
{
	char byte, *own = nameless(2 * HUGE, MAP_PRIVATE), *shared = nameless(HUGE, MAP_SHARED);
	char *read_only = nameless(HUGE, MAP_PRIVATE), *idle = nameless(HUGE, MAP_PRIVATE | MAP_NORESERVE);
	int memfd = zt_must(memfd_create("huge", MFD_HUGETLB | MFD_ALLOW_SEALING | (int)TWO_MIB)), go[2], done[2];
	zt_must(ftruncate(memfd, 3 * HUGE));
	char *of_file = map(2 * HUGE, MAP_SHARED, memfd), *aside = map(HUGE, MAP_PRIVATE, memfd);
	zt_must(fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	strcpy(own + 5, "own");
	strcpy(shared + HUGE - 8, "shared");
	strcpy(read_only + 4096, "read");
	zt_must(mprotect(read_only, HUGE, PROT_READ));
	strcpy(of_file + HUGE, "second");
	strcpy(aside, "aside");
	zt_must(pipe(go));
	zt_must(pipe(done));
	pid_t child = zt_must(fork());
	if (!child) {
		zt_same(read(go[0], &byte, 1), 1);
		zt_check(!strcmp(shared + HUGE - 8, "parent"));
		zt_check(!strcmp(of_file + HUGE, "parent"));
		zt_check(!strcmp(own + 5, "own") && !strcmp(read_only + 4096, "read"));
		is_huge(own);
		is_huge(shared);
		_exit(0);
	}
	strcpy(own + HUGE, "later");

	zt_ready();

	struct statfs of;
	zt_must(fstatfs(memfd, &of));
	zt_same(of.f_bsize, HUGE);
	zt_same(lseek(memfd, 0, SEEK_END), 3 * HUGE);
	zt_same(ftruncate(memfd, HUGE), -1);
	char text[8];
	zt_same(pread(memfd, text, 7, HUGE), 7);
	zt_check(!strcmp(text, "second"));
	zt_check(!strcmp(own + 5, "own") && !strcmp(own + HUGE, "later") && !own[HUGE - 1]);
	zt_check(!strcmp(read_only + 4096, "read"));
	zt_check(!strcmp(of_file + HUGE, "second") && !of_file[0] && !strcmp(aside, "aside"));
	zt_check(!strcmp(shared + HUGE - 8, "shared"));
	for (int i = 0; i < 6; i++)
		is_huge((char *[]){own, shared, read_only, idle, of_file, aside}[i]);
	strcpy(shared + HUGE - 8, "parent");
	strcpy(of_file + HUGE, "parent");
	zt_writes(go[1], "g");
	zt_join(child);
	idle[0] = 'x';
	zt_must(munmap(own, HUGE));
	return zt_pass();
}
