/* A file without a name: contents, holes, sharing between descriptions, O_TMPFILE. */
#include "zt_test.h"

#define FAR (8 << 20)

int main(void)
{
	char path[64], text[8] = {0};
	int fd = zt_file(path, sizeof path, "deleted");
	int reader = zt_must(open(path, O_RDONLY));
	int writer = zt_must(open(path, O_WRONLY | O_APPEND));
	zt_same(pwrite(fd, "head", 4, 0), 4);
	zt_same(pwrite(fd, "tail", 4, FAR), 4);
	zt_same(lseek(fd, FAR, SEEK_SET), FAR);
	zt_must(unlink(path));
	int tmp = open(".", O_TMPFILE | O_RDWR, 0600);
	if (tmp >= 0)
		zt_writes(tmp, "temporary");

	zt_ready();

	struct stat st;
	zt_must(fstat(reader, &st));
	zt_same(st.st_nlink, 0);
	zt_same(st.st_size, FAR + 4);
	zt_check(st.st_blocks * 512 < FAR);
	zt_reads(fd, "tail");
	zt_same(pread(reader, text, 4, 0), 4);
	zt_check(memcmp(text, "head", 4) == 0);
	zt_same(pread(reader, text, 4, FAR), 4);
	zt_check(memcmp(text, "tail", 4) == 0);
	zt_writes(writer, "more");
	zt_same(pread(fd, text, 8, FAR), 8);
	zt_check(memcmp(text, "tailmore", 8) == 0);
	zt_check(access(path, F_OK) == -1 && errno == ENOENT);
	if (tmp >= 0) {
		zt_same(lseek(tmp, 0, SEEK_CUR), 9);
		zt_same(pread(tmp, text, 4, 0), 4);
		zt_check(memcmp(text, "temp", 4) == 0);
	}
	return zt_pass();
}
