/* Segments of the process's own (modify_ldt(2)): the table is as it was, and can be used. */
#include "zt_test.h"

#include <asm/ldt.h>
#include <sys/syscall.h>

int main(void)
{
	char before[64 * 8] = {0}, after[64 * 8] = {0};
	struct user_desc data = {.entry_number = 3, .base_addr = 0x1000, .limit = 4095,
				 .seg_32bit = 1, .useable = 1};
	struct user_desc pages = {.entry_number = 17, .limit = 0xfffff, .seg_32bit = 1, .contents = 2,
				  .limit_in_pages = 1, .read_exec_only = 1};
	struct user_desc absent = {.entry_number = 40, .base_addr = 0x12345678, .limit = 77,
				   .contents = 1, .seg_not_present = 1};
	if (syscall(SYS_modify_ldt, 0x11, &data, sizeof data) && errno == ENOSYS) {
		zt_ready(); /* a kernel without them */
		return zt_pass();
	}
	zt_must((int)syscall(SYS_modify_ldt, 0x11, &pages, sizeof pages));
	zt_must((int)syscall(SYS_modify_ldt, 0x11, &absent, sizeof absent));
	zt_must((int)syscall(SYS_modify_ldt, 0, before, sizeof before));

	zt_ready();

	zt_must((int)syscall(SYS_modify_ldt, 0, after, sizeof after));
	zt_check(memcmp(before, after, sizeof before) == 0);
	zt_same(before[3 * 8] != 0 || before[3 * 8 + 5] != 0, 1);
	/* A segment register that names it can be loaded, as it could before. */
	unsigned short selector = 3 << 3 | 7, found, none = 0;
	__asm__ volatile("mov %1, %%es\n mov %%es, %0\n mov %2, %%es\n"
			 : "=&r"(found) : "r"(selector), "r"(none));
	zt_same(found, selector);
	return zt_pass();
}
