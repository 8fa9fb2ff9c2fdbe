/* RLIMIT_MEMLOCK: as much is locked as may be. */
#include "zt_limit.h"

enum { PAGES = 8 };

int main(void)
{
	char *memory =
		zt_must(mmap(NULL, (PAGES + 1) * ZT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	zt_limit(RLIMIT_MEMLOCK, PAGES * ZT_PAGE);
	zt_must(mlock(memory, PAGES * ZT_PAGE));
	char *more = memory + PAGES * ZT_PAGE;
	bool unlimited = mlock(more, ZT_PAGE) == 0; /* CAP_IPC_LOCK */
	if (unlimited)
		zt_must(munlock(more, ZT_PAGE));

	zt_ready();

	zt_limited(RLIMIT_MEMLOCK, PAGES * ZT_PAGE);
	if (!unlimited)
		zt_check(mlock(more, ZT_PAGE) == -1 && errno == ENOMEM);
	zt_must(munlock(memory, ZT_PAGE));
	zt_must(mlock(more, ZT_PAGE));
	if (!unlimited)
		zt_check(mlock(memory, ZT_PAGE) == -1 && errno == ENOMEM);
	return zt_pass();
}
