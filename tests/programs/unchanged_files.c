/* Whatever is done to the pod, nothing changes what it has open: names, modes, times of change. */
#include "zt_test.h"

#include <dirent.h>
#include <sys/file.h>
#include <sys/mman.h>

enum { MOST = 16 };
static struct {
	const char *what;
	int fd;
	struct stat status;
} open_files[MOST];
static int count;

static int keep(const char *what, int fd)
{
	open_files[count].what = what;
	open_files[count].fd = zt_must(fd);
	count++;
	return fd;
}

static int made(const char *name, int flags, mode_t mode)
{
	int fd = zt_must(open(name, O_CREAT | O_EXCL | O_WRONLY, mode));
	zt_same(write(fd, name, strlen(name)), strlen(name));
	close(fd);
	return zt_must(open(name, flags));
}

int main(void)
{
	zt_must(mkdir("directory", 0755));
	keep("to read", made("directory/read", O_RDONLY, 0644));
	keep("to write", made("directory/written", O_WRONLY, 0644));
	keep("to append", made("directory/appended", O_RDWR | O_APPEND, 0644));
	keep("read-only", made("directory/closed", O_RDONLY, 0444));
	keep("executable", made("directory/executable", O_RDONLY, 0755));
	keep("named only", made("directory/path", O_PATH, 0600));
	keep("directory", open("directory", O_RDONLY | O_DIRECTORY));
	keep("current directory", open(".", O_RDONLY | O_DIRECTORY));
	zt_must(flock(keep("locked", made("directory/flock", O_RDWR, 0644)), LOCK_EX));
	struct flock lock = {.l_type = F_WRLCK, .l_len = 1};
	zt_must(fcntl(keep("locked in part", made("directory/lock", O_RDWR, 0644)), F_SETLK, &lock));
	int mapped = keep("mapped", made("directory/mapped", O_RDWR, 0644));
	zt_must(ftruncate(mapped, 8192));
	char *memory = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);
	zt_check(memory != MAP_FAILED);
	memory[5000] = 'x';
	zt_must(msync(memory, 8192, MS_SYNC));
	zt_must(mkfifo("directory/fifo", 0644));
	keep("fifo", open("directory/fifo", O_RDWR));
	DIR *listing = opendir("directory");
	zt_check(listing && readdir(listing));
	for (int i = 0; i < count; i++)
		zt_must(fstat(open_files[i].fd, &open_files[i].status));

	zt_ready();

	for (int i = 0; i < count; i++) {
		struct stat now, *then = &open_files[i].status;
		zt_must(fstat(open_files[i].fd, &now));
		zt_same(now.st_ino, then->st_ino);
		zt_same(now.st_nlink, then->st_nlink);
		zt_same(now.st_mode, then->st_mode);
		zt_same(now.st_size, then->st_size);
		int64_t late = (now.st_ctim.tv_sec - then->st_ctim.tv_sec) * 1000000000ll +
			       now.st_ctim.tv_nsec - then->st_ctim.tv_nsec;
		if (late)
			zt_fail("%s was changed %lld ns after it was", open_files[i].what,
				(long long)late);
		zt_same(now.st_mtim.tv_sec, then->st_mtim.tv_sec);
		zt_same(now.st_mtim.tv_nsec, then->st_mtim.tv_nsec);
	}
	return zt_pass();
}
