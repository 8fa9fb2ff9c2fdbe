/* A key that was there and is gone refuses no checkpoint. Where a container denies keys there never was one. */
#include "zt_test.h"

#include <linux/keyctl.h>
#include <sys/syscall.h>

int main(void)
{
	long key = syscall(SYS_add_key, "user", "zt", "value", 5L, (long)KEY_SPEC_PROCESS_KEYRING);
	bool denied = key == -1 && (errno == EPERM || errno == ENOSYS);
	zt_check(key > 0 || denied);
	if (key > 0) {
		zt_must(syscall(SYS_keyctl, (long)KEYCTL_UNLINK, key, (long)KEY_SPEC_PROCESS_KEYRING));
		while (syscall(SYS_keyctl, (long)KEYCTL_DESCRIBE, key, 0L, 0L) > 0)
			zt_sleep_ns(ZT_MS); /* the kernel collects it by and by */
		zt_same(errno, ENOKEY);
	}

	zt_ready();

	if (key > 0)
		zt_must(syscall(SYS_add_key, "user", "zt", "again", 5L, (long)KEY_SPEC_PROCESS_KEYRING));
	return zt_pass();
}
