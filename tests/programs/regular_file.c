/* Offset, access mode and contents of open files; a file renamed while open. */
#include "zt_test.h"

int main(void)
{
	char path[64], moved[80];
	int fd = zt_file(path, sizeof path, "regular");
	zt_writes(fd, "0123456789");
	int reader = zt_must(open(path, O_RDONLY));
	zt_same(lseek(fd, 3, SEEK_SET), 3);
	zt_same(lseek(reader, 7, SEEK_SET), 7);
	snprintf(moved, sizeof moved, "%s.moved", path);
	zt_must(rename(path, moved));
	int flags = fcntl(fd, F_GETFL), reader_flags = fcntl(reader, F_GETFL);

	zt_ready();

	zt_same(lseek(fd, 0, SEEK_CUR), 3);
	zt_same(fcntl(fd, F_GETFL), flags);
	zt_same(fcntl(reader, F_GETFL), reader_flags);
	zt_writes(fd, "abcdef");
	zt_reads(reader, "ef9");
	zt_check(write(reader, "x", 1) == -1 && errno == EBADF);
	struct stat by_fd, by_name;
	zt_must(fstat(fd, &by_fd));
	zt_must(stat(moved, &by_name));
	zt_same(by_fd.st_ino, by_name.st_ino);
	zt_must(unlink(moved));
	return zt_pass();
}
