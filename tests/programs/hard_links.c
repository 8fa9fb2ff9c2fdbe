/* Files that lost the name they were opened by and live on under another one: next to it, or where
 * another process of the pod has it open. What is written to them reaches that name. */
#include "zt_test.h"

#include <sys/mman.h>

#define PAGE 4096

static char *map_of(const char *path)
{
	int fd = zt_must(open(path, O_RDWR));
	char *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	zt_check(at != MAP_FAILED);
	zt_must(close(fd));
	return at;
}

static void expect(const char *path, off_t at, const char *text)
{
	char got[16] = {0};
	int fd = zt_must(open(path, O_RDONLY));
	zt_same(pread(fd, got, strlen(text), at), strlen(text));
	if (strcmp(got, text) != 0)
		zt_fail("%s holds \"%s\", not \"%s\"", path, got, text);
	zt_must(close(fd));
}

int main(void)
{
	char near[64], near2[80], far[64], dir[64], far2[80];
	int fd = zt_file(near, sizeof near, "near");
	zt_must(ftruncate(fd, PAGE));
	snprintf(near2, sizeof near2, "%s.second", near);
	char *near_map = map_of(near);
	zt_must(link(near, near2));
	zt_must(unlink(near));

	int far_fd = zt_file(far, sizeof far, "far");
	zt_must(ftruncate(far_fd, PAGE));
	snprintf(dir, sizeof dir, "zt_dir.%d", (int)getpid());
	zt_must(mkdir(dir, 0700));
	snprintf(far2, sizeof far2, "%s/second", dir);
	char *far_map = map_of(far);
	zt_must(link(far, far2));
	int go[2];
	zt_must(pipe(go));
	pid_t child = zt_must(fork());
	if (child == 0) { /* it has the name that the parent does not know of */
		int own = zt_must(open(far2, O_RDWR));
		zt_must(close(far_fd));
		zt_must(munmap(far_map, PAGE));
		zt_same(write(go[1], "r", 1), 1);
		zt_wait_go();
		zt_same(pwrite(own, "child", 5, 64), 5);
		_exit(0);
	}
	char byte;
	zt_same(read(go[0], &byte, 1), 1);
	zt_must(unlink(far));

	zt_ready();

	zt_join(child);
	strcpy(near_map, "mapped");
	zt_same(pwrite(fd, "open", 4, 32), 4);
	expect(near2, 0, "mapped");
	expect(near2, 32, "open");
	zt_check(strcmp(near_map + 32, "open") == 0);
	strcpy(far_map, "mapped");
	zt_same(pwrite(far_fd, "open", 4, 32), 4);
	expect(far2, 0, "mapped");
	expect(far2, 32, "open");
	expect(far2, 64, "child");
	zt_check(strcmp(far_map + 64, "child") == 0);
	zt_must(unlink(near2));
	zt_must(unlink(far2));
	zt_must(rmdir(dir));
	return zt_pass();
}
