/* Clients that have connected and are gone before anybody accepted them: closed, with something sent or
 * nothing, or reset. They are accepted in their order, among those that live, and keep nobody out. */
#include "zt_tcp.h"

enum { GONE = 6 };

static const char *const SAID[GONE] = {"", "one", "two", "", "four", "five"};
static bool is_reset(int i)
{
	return i >= 4;
}

static void come_and_go(int listener, enum zt_kind kind, int i, struct sockaddr_in6 *name)
{
	int fd = zt_connect(listener, kind);
	socklen_t size = sizeof *name;
	memset(name, 0, sizeof *name);
	zt_must(getsockname(fd, (struct sockaddr *)name, &size));
	zt_writes(fd, SAID[i]);
	if (is_reset(i))
		zt_must(setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger)));
	zt_must(close(fd));
}

static int take(int listener, const struct sockaddr_in6 *name)
{
	struct sockaddr_in6 from = {0};
	int fd = zt_must(accept(listener, (struct sockaddr *)&from, &(socklen_t){sizeof from}));
	if (name)
		zt_same(memcmp(&from, name, sizeof from), 0);
	return fd;
}

int main(void)
{
	int listeners[2], living[2];
	struct sockaddr_in6 names[2][GONE];
	for (int kind = ZT_FOUR; kind <= ZT_SIX; kind++) {
		if (kind == ZT_SIX && access("/proc/net/if_inet6", F_OK) < 0)
			return zt_ready(), zt_pass();
		listeners[kind] = zt_listener(kind);
		for (int i = 0; i < GONE; i++) {
			come_and_go(listeners[kind], kind, i, &names[kind][i]);
			if (i == 2) {
				living[kind] = zt_connect(listeners[kind], kind);
				zt_writes(living[kind], "alive");
			}
		}
	}

	zt_ready();

	for (int kind = ZT_FOUR; kind <= ZT_SIX; kind++) {
		int last = zt_connect(listeners[kind], kind);
		char byte;
		for (int i = 0; i < GONE; i++) {
			int fd = take(listeners[kind], &names[kind][i]);
			if (*SAID[i])
				zt_reads(fd, SAID[i]);
			zt_same(read(fd, &byte, 1), is_reset(i) ? -1 : 0);
			if (is_reset(i))
				zt_same(errno, ECONNRESET);
			zt_must(close(fd));
			if (i == 2) {
				fd = take(listeners[kind], NULL);
				zt_reads(fd, "alive");
				zt_writes(fd, "and well");
				zt_reads(living[kind], "and well");
			}
		}
		zt_writes(last, "x");
		zt_reads(take(listeners[kind], NULL), "x");
	}
	return zt_pass();
}
