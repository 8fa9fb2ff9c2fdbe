/* A write to a full pipe, partly done when the pod is frozen: no byte twice, none lost. */
#include "zt_blocked.h"

#define MORE 100000

static int p[2];
static char sent[65536 + MORE];

static void blocks(void)
{
	for (size_t n = 0; n < sizeof sent;) /* what was written at the freeze may be all */
		n += (size_t)zt_must(write(p[1], sent + n, sizeof sent - n));
}

static void frees(void)
{
	static char got[sizeof sent];
	for (size_t n = 0; n < sizeof got;)
		n += (size_t)zt_must(read(p[0], got + n, sizeof got - n));
	zt_check(memcmp(got, sent, sizeof got) == 0);
}

int main(void)
{
	for (size_t i = 0; i < sizeof sent; i++)
		sent[i] = (char)(i * 13 + i / 256);
	zt_must(pipe(p));
	return zt_blocked(blocks, frees);
}
