/* RLIMIT_DATA: there is no room for one page more, neither by mmap nor by brk. */
#include "zt_limit.h"

int main(void)
{
	enum { LIMIT = 64 << 20 };
	zt_limit(RLIMIT_DATA, LIMIT);
	char *large = zt_must(mmap(NULL, 32 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (int i = 0; i < 32 << 20; i += ZT_PAGE)
		large[i] = 3;
	/* Whole again, and neighbours: few mappings, as many as it takes. */
	void *last = MAP_FAILED, *page;
	while ((page = zt_page()) != MAP_FAILED)
		last = page;
	zt_check(last != MAP_FAILED);

	zt_ready();

	zt_limited(RLIMIT_DATA, LIMIT);
	zt_check(zt_page() == MAP_FAILED && errno == ENOMEM);
	zt_check(sbrk(ZT_PAGE) == (void *)-1 && errno == ENOMEM);
	zt_must(munmap(last, ZT_PAGE));
	zt_check(zt_page() != MAP_FAILED);
	zt_check(zt_page() == MAP_FAILED && errno == ENOMEM);
	for (int i = 0; i < 32 << 20; i += ZT_PAGE)
		zt_same(large[i], 3);
	return zt_pass();
}
