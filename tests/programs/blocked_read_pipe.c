/* A read of an empty pipe, blocked while the pod is frozen. */
#include "zt_blocked.h"

static int p[2];

static void blocks(void) { zt_reads(p[0], "here"); }

static void frees(void) { zt_writes(p[1], "here"); }

int main(void)
{
	zt_must(pipe(p));
	return zt_blocked(blocks, frees);
}
