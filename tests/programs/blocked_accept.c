/* accept on a unix listener, blocked while the pod is frozen. */
#include "zt_blocked.h"

#include <sys/socket.h>
#include <sys/un.h>

static int listener;
static struct sockaddr_un at = {.sun_family = AF_UNIX};

static void blocks(void)
{
	int fd = zt_must(accept(listener, NULL, NULL));
	zt_reads(fd, "hello");
}

static void frees(void)
{
	int fd = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(connect(fd, (struct sockaddr *)&at, sizeof at));
	zt_writes(fd, "hello");
	zt_must(unlink(at.sun_path));
}

int main(void)
{
	snprintf(at.sun_path, sizeof at.sun_path, "zt_accept.%d", (int)getpid());
	listener = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(bind(listener, (struct sockaddr *)&at, sizeof at));
	zt_must(listen(listener, 1));
	return zt_blocked(blocks, frees);
}
