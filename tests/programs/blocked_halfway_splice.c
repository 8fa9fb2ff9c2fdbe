/* sendfile and splice into sockets that had moved a part: all is moved, and the positions are right.
 * Into pipes they, vmsplice and tee natively move what there is room for, and so they do. */
#include "zt_halfway.h"

#include <sys/sendfile.h>
#include <sys/socket.h>

enum { PIPE = 65536, LARGE = 1 << 20, HEAD = 1000 };

static int file, to_pipe_file, from[2], to[2], offset_to[2], spliced[2], into[2];
static int full[2], small_full[2], source[2];

static void by_sendfile(void)
{
	zt_same(sendfile(to[1], file, NULL, ZT_TOTAL + 5), ZT_TOTAL);
	zt_same(lseek(file, 0, SEEK_CUR), ZT_TOTAL);
}

static void by_sendfile_offset(void)
{
	off_t offset = 0;
	zt_same(sendfile(offset_to[1], to_pipe_file, &offset, ZT_TOTAL), ZT_TOTAL);
	zt_same(offset, ZT_TOTAL);
	zt_same(lseek(to_pipe_file, 0, SEEK_CUR), 0);
}

/* All that is in the pipe, and then it does not wait for more. */
static void by_splice(void) { zt_same(splice(from[0], NULL, spliced[1], NULL, 2 * LARGE, 0), LARGE); }

static void by_sendfile_into_pipe(void)
{
	off_t offset = 0;
	zt_same(sendfile(full[1], to_pipe_file, &offset, ZT_TOTAL), PIPE);
	zt_same(offset, PIPE);
}

static void by_vmsplice(void)
{
	struct iovec all = {zt_bytes, ZT_TOTAL};
	zt_same(vmsplice(small_full[1], &all, 1, 0), PIPE);
}

static void by_tee(void) { zt_same(tee(source[0], into[1], LARGE, 0), PIPE); }

static void free_to(void) { zt_drains(to[0], ZT_TOTAL); }
static void free_offset_to(void) { zt_drains(offset_to[0], ZT_TOTAL); }

static void free_spliced(void)
{
	static char got[LARGE];
	zt_same(recv(spliced[0], got, LARGE, MSG_WAITALL), LARGE);
	zt_same(memcmp(got, zt_bytes, ZT_TOTAL), 0);
}

/* In one read, so that the whole pipe is free at once. */
static void empties(int fd)
{
	static char got[PIPE];
	zt_same(read(fd, got, PIPE), PIPE);
}

static void free_full(void)
{
	empties(full[0]);
	zt_drains(full[0], PIPE);
}

static void free_small_full(void)
{
	empties(small_full[0]);
	zt_drains(small_full[0], PIPE);
}

static void free_into(void)
{
	zt_same(write(source[1], zt_bytes, PIPE), PIPE);
	zt_drains(into[0], PIPE);
}

static void fill(int fd)
{
	static const char nothing[PIPE];
	zt_same(write(fd, nothing, PIPE), PIPE);
}

int main(void)
{
	static const zt_way ways[] = {
		{by_sendfile, free_to},
		{by_sendfile_offset, free_offset_to},
		{by_splice, free_spliced},
		{by_sendfile_into_pipe, free_full},
		{by_vmsplice, free_small_full},
		{by_tee, free_into},
	};
	char path[64];
	zt_fill();
	file = zt_file(path, sizeof path, "file");
	zt_same(write(file, zt_bytes, ZT_TOTAL), ZT_TOTAL);
	zt_same(lseek(file, 0, SEEK_SET), 0);
	to_pipe_file = zt_must(open(path, O_RDONLY));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, to));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, offset_to));
	zt_must(socketpair(AF_UNIX, SOCK_STREAM, 0, spliced));
	zt_must(pipe(from));
	zt_same(fcntl(from[1], F_SETPIPE_SZ, LARGE), LARGE);
	static char large[LARGE];
	memcpy(large, zt_bytes, ZT_TOTAL);
	zt_same(write(from[1], large, LARGE), LARGE);
	zt_must(pipe(full));
	zt_must(pipe(small_full));
	zt_must(pipe(source));
	zt_must(pipe(into));
	fill(full[1]);
	fill(small_full[1]);
	int status = zt_halfway(ways, sizeof ways / sizeof *ways);
	unlink(path);
	return status;
}
