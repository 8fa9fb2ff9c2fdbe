/* AIO contexts: idle, with ends that were not fetched, wrapped around, and one that a descriptor is told of. */
#include "zt_test.h"

#include <linux/aio_abi.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

static struct iocb request;
static char page[4096] __attribute__((aligned(4096)));

static void submit(aio_context_t context, int file, uint16_t what, uint64_t data, int64_t offset, int told)
{
	struct iocb *list[] = {&request};
	request = (struct iocb){
		.aio_data = data,
		.aio_lio_opcode = what,
		.aio_fildes = (uint32_t)file,
		.aio_buf = (uintptr_t)page,
		.aio_nbytes = sizeof page,
		.aio_offset = offset,
		.aio_flags = told >= 0 ? IOCB_FLAG_RESFD : 0,
		.aio_resfd = told >= 0 ? (uint32_t)told : 0,
	};
	zt_same(zt_must(syscall(SYS_io_submit, context, 1L, list)), 1);
}

static void fetch(aio_context_t context, uint64_t data, int64_t result)
{
	struct io_event event;
	zt_same(zt_must(syscall(SYS_io_getevents, context, 1L, 1L, &event, NULL)), 1);
	zt_same(event.data, data);
	zt_same(event.res, result);
	zt_same(event.obj, (uintptr_t)&request);
}

static void nothing_to_fetch(aio_context_t context)
{
	struct io_event event;
	struct timespec at_once = {0, 0};
	zt_same(zt_must(syscall(SYS_io_getevents, context, 0L, 1L, &event, &at_once)), 0);
}

int main(void)
{
	aio_context_t idle = 0, waiting = 0, wrapped = 0;
	int file = zt_must(open("data", O_RDWR | O_CREAT, 0600));
	int told = zt_must(eventfd(0, EFD_NONBLOCK));
	memset(page, 'a', sizeof page);
	zt_must(syscall(SYS_io_setup, 100L, &idle));
	zt_must(syscall(SYS_io_setup, 1L, &waiting));
	zt_must(syscall(SYS_io_setup, 10L, &wrapped));
	submit(waiting, file, IOCB_CMD_PWRITE, 1, 0, told);
	fetch(waiting, 1, 4096);
	submit(waiting, file, IOCB_CMD_PREAD, 2, 100, told);
	submit(waiting, file, IOCB_CMD_PREAD, 3, 5000, told);
	submit(waiting, file, IOCB_CMD_PREAD, 4, 0, -1);
	uint32_t slots = ((uint32_t *)wrapped)[1]; /* struct aio_ring: id, nr */
	for (uint32_t i = 0; i < slots - 2; i++) {
		submit(wrapped, file, IOCB_CMD_PREAD, i, 0, -1);
		fetch(wrapped, i, 4096);
	}
	for (uint64_t i = 0; i < 5; i++)
		submit(wrapped, file, IOCB_CMD_PREAD, 70 + i, (int64_t)i, -1);

	zt_ready();

	eventfd_t count;
	zt_must(eventfd_read(told, &count));
	zt_same(count, 3);
	nothing_to_fetch(idle);
	fetch(waiting, 2, 3996);
	fetch(waiting, 3, 0);
	fetch(waiting, 4, 4096);
	nothing_to_fetch(waiting);
	for (uint64_t i = 0; i < 5; i++)
		fetch(wrapped, 70 + i, 4096 - (int64_t)i);
	nothing_to_fetch(wrapped);
	for (uint64_t i = 0; i < 2 * (uint64_t)slots; i++) {
		submit(wrapped, file, i % 2 ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE, i, 0, -1);
		fetch(wrapped, i, 4096);
	}
	submit(idle, file, IOCB_CMD_PREAD, 9, 0, told);
	fetch(idle, 9, 4096);
	zt_must(eventfd_read(told, &count));
	zt_same(count, 1);
	zt_must(syscall(SYS_io_destroy, idle));
	zt_must(syscall(SYS_io_destroy, waiting));
	zt_must(syscall(SYS_io_destroy, wrapped));
	zt_check(syscall(SYS_io_destroy, idle) == -1 && errno == EINVAL);
	return zt_pass();
}
