/* Children by vfork, one after the other, whose parent waits within the call: some end, some execute. */
#include "zt_test.h"

int main(void)
{
	zt_say_ready();
	for (int number = 0; number == 0 || !zt_may_go(); number++) {
		int status;
		pid_t child = zt_must(vfork());
		if (child == 0) {
			if (number % 2)
				execl("/bin/sh", "sh", "-c", "exit 7", NULL);
			_exit(7);
		}
		zt_same(waitpid(child, &status, 0), child);
		zt_same(status, 7 << 8);
	}
	return zt_pass();
}
