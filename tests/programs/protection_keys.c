/* Memory protection keys: those that were allocated are, no others; mappings have theirs, and the
 * rights of each thread hold. Where the processor has none, there are none before and after. */
#include "zt_test.h"

#include <sys/mman.h>

enum { PAGE = 4096, KEYS = 16 };

static int key_of(const void *at)
{
	char line[512];
	int key = -1;
	bool here = false;
	FILE *file = fopen("/proc/self/smaps", "r");
	zt_check(file != NULL);
	while (fgets(line, sizeof line, file)) {
		unsigned long start, end;
		char perms[5];
		if (sscanf(line, "%lx-%lx %4s", &start, &end, perms) == 3)
			here = start <= (uintptr_t)at && (uintptr_t)at < end;
		if (here)
			sscanf(line, "ProtectionKey: %d", &key);
	}
	fclose(file);
	return key;
}

int main(void)
{
	char *pages = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	zt_check(pages != MAP_FAILED);
	memset(pages, 6, 4 * PAGE);
	int first = pkey_alloc(0, 0);
	if (first < 0) {
		zt_ready();
		zt_same(pkey_alloc(0, 0), -1);
		zt_check(pkey_mprotect(pages, PAGE, PROT_READ, 1) == -1 && errno == EINVAL);
		zt_must(pkey_mprotect(pages, PAGE, PROT_READ, -1));
		return zt_pass();
	}
	int second = zt_must(pkey_alloc(0, PKEY_DISABLE_WRITE)), third = zt_must(pkey_alloc(0, 0));
	zt_must(pkey_mprotect(pages, PAGE, PROT_READ | PROT_WRITE, first));
	zt_must(pkey_mprotect(pages + PAGE, PAGE, PROT_READ | PROT_WRITE, second));
	zt_must(pkey_mprotect(pages + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE, third));
	zt_must(pkey_free(third)); /* the page has it still */
	zt_must(mprotect(pages + 3 * PAGE, PAGE, PROT_EXEC)); /* and this has one of the kernel's */
	int keys[4];
	for (int i = 0; i < 4; i++)
		keys[i] = key_of(pages + i * PAGE);

	zt_ready();

	for (int i = 0; i < 4; i++)
		zt_same(key_of(pages + i * PAGE), keys[i]);
	zt_same(pkey_get(first), 0);
	zt_same(pkey_get(second), PKEY_DISABLE_WRITE);
	zt_must(pkey_mprotect(pages, PAGE, PROT_READ, second));
	zt_check(pkey_mprotect(pages, PAGE, PROT_READ, third) == -1 && errno == EINVAL);
	zt_same(pkey_alloc(0, 0), third == keys[3] ? zt_must(pkey_alloc(0, 0)) - 1 : third);
	zt_same(pages[0], 6);
	return zt_pass();
}
