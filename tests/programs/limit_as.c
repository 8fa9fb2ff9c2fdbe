/* RLIMIT_AS: there is no room for one page more; for one that was given back, there is. */
#include "zt_limit.h"

static rlim_t size(void)
{
	char text[64] = "";
	int fd = zt_must(open("/proc/self/statm", O_RDONLY));
	zt_must(read(fd, text, sizeof text - 1));
	zt_must(close(fd));
	return strtoul(text, NULL, 10) * ZT_PAGE;
}

int main(void)
{
	rlim_t limit = size() + (1 << 20);
	zt_limit(RLIMIT_AS, limit);
	void *last = MAP_FAILED, *page;
	while ((page = zt_page()) != MAP_FAILED)
		memset(last = page, 1, 1);
	zt_check(last != MAP_FAILED);

	zt_ready();

	zt_limited(RLIMIT_AS, limit);
	zt_check(zt_page() == MAP_FAILED && errno == ENOMEM);
	zt_must(munmap(last, ZT_PAGE));
	zt_check(zt_page() != MAP_FAILED);
	zt_check(zt_page() == MAP_FAILED && errno == ENOMEM);
	return zt_pass();
}
