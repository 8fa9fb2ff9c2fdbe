/* Mappings of each kind, and what is in them. */
#ifndef COMPOSED_MEMORY_H
#define COMPOSED_MEMORY_H

#include "composed.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 8
#endif

struct area {
	char *at;
	size_t pages;
	bool anonymous; /* what was not written to is zero */
	bool fickle; /* the kernel may take its contents */
	uint64_t written, looked_at;
	uint64_t sum;
};

static struct area areas[AREAS];
static int area_count;

static const int PROTECTIONS[] = {
	PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE, PROT_WRITE, PROT_READ | PROT_EXEC,
	PROT_READ | PROT_WRITE | PROT_EXEC, PROT_EXEC,
};
static const int ADVICE[] = {
	MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED, MADV_FREE, MADV_REMOVE,
	MADV_DONTFORK, MADV_DOFORK, MADV_MERGEABLE, MADV_UNMERGEABLE, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
	MADV_DONTDUMP, MADV_DODUMP, MADV_WIPEONFORK, MADV_KEEPONFORK, MADV_COLD, MADV_PAGEOUT,
	22 /* MADV_POPULATE_READ */, 23 /* MADV_POPULATE_WRITE */,
	102 /* MADV_GUARD_INSTALL */, 103 /* MADV_GUARD_REMOVE */,
};

enum backing { NONE, FILE_RW, FILE_RO, FILE_0444, REMOVED, MEMFD, ZERO, BACKINGS };

static int backing_fd(enum backing kind, size_t size, int seed)
{
	char name[32];
	if (kind == MEMFD) {
		int fd = memfd_create("composed", 0);
		char data[100];
		fill(data, sizeof data, seed);
		if (fd >= 0 && (ftruncate(fd, (off_t)size) || pwrite(fd, data, sizeof data, 0) < 0))
			return -1;
		return fd;
	}
	if (kind == ZERO)
		return open("/dev/zero", O_RDWR);
	new_name(name, "mapped");
	int fd = new_file(name, size, seed, kind == FILE_0444 ? 0444 : 0644);
	if (kind == FILE_RO && fd >= 0) {
		close(fd);
		fd = open(name, O_RDONLY);
	}
	if (kind == REMOVED)
		unlink(name);
	return fd;
}

/* Through /proc/self/mem: the page may be protected, or not be there at all. */
static uint64_t page_sum(int mem, const char *page, uint64_t sum)
{
	char data[PAGE];
	ssize_t n = pread(mem, data, PAGE, (off_t)(uintptr_t)page);
	return n == PAGE ? hashed(sum, data, PAGE) : hashed(sum, "none", 4);
}

static uint64_t area_sum(const struct area *area)
{
	uint64_t sum = 0xcbf29ce484222325;
	int mem = open("/proc/thread-self/mem", O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return 0; /* a limit stands at what is in use, and stands there later too */
	for (size_t i = 0; i < area->pages; i++)
		if ((area->written | area->looked_at) >> i & 1)
			sum = page_sum(mem, area->at + i * PAGE, sum);
	close(mem);
	return sum;
}

/* map KIND PAGES PROTECTION FLAGS WRITTEN OFFSET */
static void do_map(const int *a)
{
	enum backing kind = (unsigned)a[0] % BACKINGS;
	size_t pages = 1 + (unsigned)a[1] % 8, offset = (unsigned)a[5] % 3;
	int flags = a[3] & 1 ? MAP_SHARED : MAP_PRIVATE;
	if (area_count == AREAS)
		return;
	if (kind == NONE) {
		flags |= MAP_ANONYMOUS | (a[3] & 2 ? MAP_GROWSDOWN : 0);
		if (a[3] & 256)
			flags = MAP_DROPPABLE | MAP_ANONYMOUS;
	}
	flags |= (a[3] & 4 ? MAP_NORESERVE : 0) | (a[3] & 8 ? MAP_POPULATE : 0);
	flags |= (a[3] & 16 ? MAP_LOCKED : 0) | (a[3] & 32 ? MAP_STACK : 0);
	int fd = -1;
	size_t in_file = pages + offset;
	if (kind != NONE) {
		if (a[3] & 64 && pages > 1)
			in_file -= 1; /* the last page is beyond the end */
		fd = backing_fd(kind, in_file * PAGE - (a[3] & 512 ? 1000 : 0), a[4]);
		if (fd < 0)
			return;
	}
	int first = kind == FILE_RO && flags & MAP_SHARED ? PROT_READ : PROT_READ | PROT_WRITE;
	char *at = mmap(NULL, pages * PAGE, first, flags, fd, fd < 0 ? 0 : (off_t)(offset * PAGE));
	if (fd >= 0 && !(a[3] & 128))
		close(fd);
	if (at == MAP_FAILED)
		return;
	struct area *area = &areas[area_count++];
	*area = (struct area){.at = at, .pages = pages, .anonymous = kind == NONE || kind == ZERO};
	area->fickle = kind == NONE && a[3] & 256;
	if (kind == ZERO && offset)
		first = PROT_NONE; /* what is shared ends before it begins: SIGBUS */
	for (size_t i = 0; i < pages && first & PROT_WRITE; i++)
		if (a[4] >> i & 1 && offset + i < in_file) {
			fill(at + i * PAGE, PAGE, a[4] + (int)i);
			area->written |= 1ULL << i;
		}
	mprotect(at, pages * PAGE, pick_from(PROTECTIONS, a[2]));
}

/* A piece of a mapping that there is: AREA FIRST COUNT. */
static struct area *piece(const int *a, char **at, size_t *size)
{
	if (area_count == 0)
		return NULL;
	struct area *area = &areas[(unsigned)a[0] % (unsigned)area_count];
	size_t first = (unsigned)a[1] % area->pages;
	*at = area->at + first * PAGE;
	*size = (1 + (unsigned)a[2] % (area->pages - first)) * PAGE;
	return area;
}

static void do_protect(const int *a)
{
	char *at;
	size_t size;
	if (piece(a, &at, &size))
		mprotect(at, size, pick_from(PROTECTIONS, a[3]));
}

static void do_advise(const int *a)
{
	char *at;
	size_t size;
	struct area *area = piece(a, &at, &size);
	int advice = pick_from(ADVICE, a[3]);
	if (area == NULL || madvise(at, size, advice))
		return;
	area->fickle |= advice == MADV_FREE;
}

static void do_unmap(const int *a)
{
	char *at;
	size_t size;
	struct area *area = piece(a, &at, &size);
	/* What is unmapped might be mapped anew, by a stack of a thread, say. */
	if (area && munmap(at, size) == 0)
		area->fickle = true;
}

static void do_lock_memory(const int *a)
{
	char *at;
	size_t size;
	if (a[3] % 4 == 3)
		mlockall(a[0] % 2 ? MCL_FUTURE : MCL_CURRENT | MCL_ONFAULT);
	else if (piece(a, &at, &size))
		mlock2(at, size, a[3] % 2 ? MLOCK_ONFAULT : 0);
}

/* Moved and made longer. */
static void do_remap(const int *a)
{
	char *at;
	size_t size;
	struct area *area = piece(a, &at, &size);
	if (area == NULL || area_count == AREAS || area->fickle)
		return;
	size_t pages = size / PAGE + (a[3] % 3 ? 1 : 0);
	char *moved = mremap(at, size, pages * PAGE, MREMAP_MAYMOVE | (a[3] % 4 == 3 ? 4 : 0));
	if (moved == MAP_FAILED)
		return;
	area->fickle = true;
	areas[area_count++] = (struct area){.at = moved, .pages = pages, .looked_at = a[4] % 2 ? ~0ULL : 0};
}

static void do_look(const int *a)
{
	if (area_count)
		areas[(unsigned)a[0] % (unsigned)area_count].looked_at = ~0ULL;
}

static void do_brk(const int *a)
{
	char *at = sbrk((1 + (unsigned)a[0] % 4) * PAGE);
	if (at != (char *)-1)
		fill(at, 100, a[0]);
}

static void do_seal_memory(const int *a)
{
	char *at;
	size_t size;
	if (piece(a, &at, &size))
		syscall(462 /* mseal */, at, size, 0);
}

/* policy AREA FIRST COUNT HOW: where it may lie, who may touch it, what it is called. */
static void do_policy(const int *a)
{
	char *at, name[32];
	size_t size;
	const unsigned long first_node = 1;
	if (!piece(a, &at, &size))
		return;
	if (a[3] % 4 == 0)
		syscall(SYS_mbind, at, size, 1 + a[3] / 4 % 3, &first_node, 64, 0);
	if (a[3] % 4 == 1) {
		snprintf(name, sizeof name, "area %d", a[3]);
		prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, size, name);
	}
	if (a[3] % 4 >= 2) {
		int key = pkey_alloc(0, 0);
		if (key >= 0)
			pkey_mprotect(at, size, a[3] % 4 == 2 ? PROT_READ : PROT_READ | PROT_WRITE,
				      key);
	}
}

static void settle_memory(void)
{
	for (struct area *it = areas; it < areas + area_count; it++)
		it->sum = area_sum(it);
}

static void check_memory(void)
{
	for (struct area *it = areas; it < areas + area_count; it++)
		if (!it->fickle && area_sum(it) != it->sum)
			zt_fail("process %d: the pages at %p changed", (int)getpid(), (void *)it->at);
}

/* Last: it makes pages resident. */
static void check_untouched(void)
{
	static const char zeros[PAGE];
	char data[PAGE];
	int mem = open("/proc/thread-self/mem", O_RDONLY | O_CLOEXEC);
	for (struct area *it = areas; mem >= 0 && it < areas + area_count; it++)
		for (size_t i = 0; i < it->pages; i++)
			if (it->anonymous && !it->fickle && !((it->written | it->looked_at) >> i & 1) &&
			    pread(mem, data, PAGE, (off_t)(uintptr_t)(it->at + i * PAGE)) == PAGE &&
			    memcmp(data, zeros, PAGE))
				zt_fail("process %d: page %zu at %p, never written to, is not zero",
					(int)getpid(), i, (void *)it->at);
	close(mem);
}

#endif
