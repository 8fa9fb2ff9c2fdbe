/* How long what is written to a memfd lives (F_SET_RW_HINT) stays said. */
#include "zt_test.h"

#include <sys/mman.h>

int main(void)
{
	uint64_t hint = RWH_WRITE_LIFE_LONG, plain = RWH_WRITE_LIFE_LONG;
	int fd = zt_must(memfd_create("hinted", MFD_CLOEXEC)), other = zt_must(memfd_create("plain", 0));
	zt_must(fcntl(fd, F_SET_RW_HINT, &hint));

	zt_ready();

	hint = 0;
	zt_must(fcntl(fd, F_GET_RW_HINT, &hint));
	zt_same(hint, RWH_WRITE_LIFE_LONG);
	zt_must(fcntl(other, F_GET_RW_HINT, &plain));
	zt_same(plain, 0);
	return zt_pass();
}
