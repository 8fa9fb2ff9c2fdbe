/* A process that has all that one of its limits lets it have, before and after. */
#ifndef ZT_LIMIT_H
#define ZT_LIMIT_H

#include "zt_test.h"

#include <sys/mman.h>
#include <sys/resource.h>

enum { ZT_PAGE = 4096 };

/* No more than this, for good: the program cannot raise it again. */
__attribute__((unused)) static void zt_limit(int which, rlim_t value)
{
	zt_must(setrlimit(which, &(struct rlimit){value, value}));
}

__attribute__((unused)) static void zt_limited(int which, rlim_t value)
{
	struct rlimit limit;
	zt_must(getrlimit(which, &limit));
	zt_same(limit.rlim_cur, value);
	zt_same(limit.rlim_max, value);
}

__attribute__((unused)) static void *zt_page(void)
{
	return mmap(NULL, ZT_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

#endif
