/* io_getevents that has some of the events that it waits for. */
#include "../zt_halfway.h"

#include <linux/aio_abi.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>

enum { COUNT = 5, FIRST = 2 };

static aio_context_t ring;
static int event[COUNT];

static void submits_poll(int i)
{
	struct iocb request = {.aio_data = (uint64_t)i,
			       .aio_lio_opcode = IOCB_CMD_POLL,
			       .aio_fildes = (uint32_t)event[i],
			       .aio_buf = 1 /* POLLIN */};
	struct iocb *requests[] = {&request};
	zt_same(syscall(SYS_io_submit, ring, 1, requests), 1);
}

static void by_getevents(void)
{
	struct io_event got[COUNT + 1] = {0};
	struct timespec limit = {5000, 0};
	zt_same(syscall(SYS_io_getevents, ring, (long)COUNT, (long)COUNT + 1, got, &limit), COUNT);
	for (int i = 0; i < COUNT; i++)
		zt_same(got[i].data, i);
	zt_same(limit.tv_sec, 5000);
}

static void sets(int i)
{
	const uint64_t once = 1;
	zt_same(write(event[i], &once, sizeof once), sizeof once);
}

static void frees(void)
{
	for (int i = FIRST; i < COUNT; i++) {
		zt_none_is_done(1);
		sets(i);
		zt_sleep_ns(5 * ZT_MS);
	}
}

int main(void)
{
	static const zt_way way = {by_getevents, frees};
	zt_must(syscall(SYS_io_setup, 16, &ring));
	for (int i = 0; i < COUNT; i++) {
		event[i] = zt_must(eventfd(0, 0));
		submits_poll(i);
	}
	for (int i = 0; i < FIRST; i++)
		sets(i);
	return zt_halfway(&way, 1);
}
