/* Counts of eventfds, with and without semaphore reads. */
#include "zt_test.h"

#include <sys/eventfd.h>

int main(void)
{
	eventfd_t value;
	int plain = zt_must(eventfd(5, EFD_NONBLOCK));
	int semaphore = zt_must(eventfd(2, EFD_NONBLOCK | EFD_SEMAPHORE));
	int empty = zt_must(eventfd(0, EFD_NONBLOCK));
	int large = zt_must(eventfd(0, EFD_NONBLOCK));
	zt_must(eventfd_write(large, 0xfffffffffffffffeULL));

	zt_ready();

	zt_must(eventfd_read(plain, &value));
	zt_same(value, 5);
	for (int i = 0; i < 2; i++) {
		zt_must(eventfd_read(semaphore, &value));
		zt_same(value, 1);
	}
	zt_check(eventfd_read(semaphore, &value) == -1 && errno == EAGAIN);
	zt_check(eventfd_read(empty, &value) == -1 && errno == EAGAIN);
	zt_check(eventfd_write(large, 1) == -1 && errno == EAGAIN);
	zt_must(eventfd_read(large, &value));
	zt_check(value == 0xfffffffffffffffeULL);
	return zt_pass();
}
