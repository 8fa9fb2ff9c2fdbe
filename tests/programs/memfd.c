/* memfd: name, contents, size, seals, a second description, and mappings of it. */
#include "zt_test.h"

#include <sys/mman.h>

int main(void)
{
	char link[64] = {0}, path[64];
	int fd = zt_must(memfd_create("zt memory", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	zt_must(ftruncate(fd, 1 << 20));
	zt_same(pwrite(fd, "in the file", 11, 5000), 11);
	char *map = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	zt_check(map != MAP_FAILED);
	strcpy(map + 9000, "in the map");
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	int reader = zt_must(open(path, O_RDONLY));
	int sealed = zt_must(memfd_create("sealed", MFD_ALLOW_SEALING));
	zt_writes(sealed, "for good");
	int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	zt_must(fcntl(sealed, F_ADD_SEALS, seals));
	zt_must(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK));

	zt_ready();

	zt_check(strcmp(map + 5000, "in the file") == 0);
	zt_same(lseek(reader, 9000, SEEK_SET), 9000);
	zt_same(read(reader, link, 10), 10);
	zt_check(memcmp(link, "in the map", 10) == 0);
	strcpy(map + 5000, "still one!!");
	zt_same(pread(reader, link, 11, 5000), 11);
	zt_check(memcmp(link, "still one!!", 11) == 0);
	zt_check(ftruncate(fd, 0) == -1 && errno == EPERM);
	zt_same(fcntl(sealed, F_GET_SEALS), seals);
	zt_check(pwrite(sealed, "x", 1, 0) == -1 && errno == EPERM);
	ssize_t n = zt_must(readlink(path, link, sizeof link - 1));
	link[n] = 0;
	zt_check(strcmp(link, "/memfd:zt memory (deleted)") == 0);
	return zt_pass();
}
