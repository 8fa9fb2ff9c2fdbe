/* O_APPEND writes go to the end, wherever the offset is. */
#include "zt_test.h"

int main(void)
{
	char path[64];
	int fd = zt_file(path, sizeof path, "append");
	int log = zt_must(open(path, O_WRONLY | O_APPEND));
	zt_writes(log, "one ");
	zt_writes(fd, "ONE two ");

	zt_ready();

	zt_writes(log, "three");
	zt_same(fcntl(log, F_GETFL) & O_APPEND, O_APPEND);
	zt_same(lseek(fd, 0, SEEK_SET), 0);
	zt_reads(fd, "ONE two three");
	zt_must(unlink(path));
	return zt_pass();
}
