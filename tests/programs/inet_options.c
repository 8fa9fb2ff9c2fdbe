/* Options of TCP and UDP sockets, over IPv4 and IPv6, tell after a move what they told before. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { SOL = SOL_SOCKET, IP = IPPROTO_IP, TCP = IPPROTO_TCP, UDP = IPPROTO_UDP, IP6 = IPPROTO_IPV6 };
enum { MOST = 64, WIDEST = 64, SOCKETS = 5 };

struct option {
	int level, name, value;
};

static const struct option general[] = {
	{SOL, 9, 1},   /* SO_KEEPALIVE */
	{SOL, 11, 1},  /* SO_NO_CHECK */
	{SOL, 12, 4},  /* SO_PRIORITY */
	{SOL, 37, 24}, /* SO_TIMESTAMPING: software and raw hardware, not asked for of any packet */
	{SOL, 41, 1},  /* SO_WIFI_STATUS */
	{SOL, 43, 1},  /* SO_NOFCS */
	{SOL, 47, 65536}, /* SO_MAX_PACING_RATE */
	{SOL, 74, 0},  /* SO_TXREHASH */
	{SOL, 75, 1},  /* SO_RCVMARK */
};
static const struct option ip[] = {
	{IP, 1, 8},	{IP, 2, 33},   {IP, 6, 1},     /* TOS TTL RECVOPTS */
	{IP, 7, 1},	{IP, 8, 1},    {IP, 10, 2},    /* RETOPTS PKTINFO MTU_DISCOVER */
	{IP, 11, 1},	{IP, 12, 1},   {IP, 13, 1},    /* RECVERR RECVTTL RECVTOS */
	{IP, 15, 1},	{IP, 20, 1},   {IP, 21, 7},    /* FREEBIND RECVORIGDSTADDR MINTTL */
	{IP, 23, 1},	{IP, 24, 1},   {IP, 25, 1},    /* CHECKSUM BIND_ADDRESS_NO_PORT RECVFRAGSIZE */
	{IP, 26, 1},	{IP, 33, 5},   {IP, 34, 0},    /* RECVERR_RFC4884 MULTICAST_TTL MULTICAST_LOOP */
	{IP, 49, 0},	{IP, 51, 100 | 200 << 16},     /* MULTICAST_ALL LOCAL_PORT_RANGE */
	{IP, 4, 0x01010101},			       /* OPTIONS: none of them does anything */
};
static const struct option tcp[] = {
	{TCP, 1, 1},	 {TCP, 2, 1000}, {TCP, 4, 100},	  /* NODELAY MAXSEG KEEPIDLE */
	{TCP, 5, 11},	 {TCP, 6, 4},	 {TCP, 7, 3},	  /* KEEPINTVL KEEPCNT SYNCNT */
	{TCP, 8, 7},	 {TCP, 9, 5},	 {TCP, 10, 4000}, /* LINGER2 DEFER_ACCEPT WINDOW_CLAMP */
	{TCP, 16, 1},	 {TCP, 17, 1},	 {TCP, 18, 5000}, /* THIN_LINEAR THIN_DUPACK USER_TIMEOUT */
	{TCP, 23, 5},	 {TCP, 25, 999}, {TCP, 27, 1},	  /* FASTOPEN NOTSENT_LOWAT SAVE_SYN */
	{TCP, 30, 1},	 {TCP, 34, 1},	 {TCP, 36, 1},	  /* FASTOPEN_CONNECT FASTOPEN_NO_COOKIE INQ */
	{TCP, 37, 1000}, {TCP, 44, 2000},		  /* TX_DELAY RTO_MAX_MS */
};
static const struct option udp[] = {
	{UDP, 101, 1}, {UDP, 102, 1}, /* NO_CHECK6_TX NO_CHECK6_RX */
	{UDP, 103, 100}, {UDP, 104, 1}, /* SEGMENT GRO */
};
static const struct option ip6[] = {
	{IP6, 2, 1},  {IP6, 3, 1},  {IP6, 4, 1},  {IP6, 5, 1}, {IP6, 8, 1}, /* the 2292 ones */
	{IP6, 11, 1}, {IP6, 16, 9}, {IP6, 18, 3}, /* FLOWINFO UNICAST_HOPS MULTICAST_HOPS */
	{IP6, 19, 0}, {IP6, 23, 2}, {IP6, 25, 1}, /* MULTICAST_LOOP MTU_DISCOVER RECVERR */
	{IP6, 29, 0}, {IP6, 31, 1}, {IP6, 33, 1}, /* MULTICAST_ALL RECVERR_RFC4884 FLOWINFO_SEND */
	{IP6, 49, 1}, {IP6, 51, 1}, {IP6, 53, 1}, /* RECVPKTINFO RECVHOPLIMIT RECVHOPOPTS */
	{IP6, 56, 1}, {IP6, 58, 1}, {IP6, 60, 1}, /* RECVRTHDR RECVDSTOPTS RECVPATHMTU */
	{IP6, 62, 1}, {IP6, 66, 1}, {IP6, 67, 8}, /* DONTFRAG RECVTCLASS TCLASS */
	{IP6, 70, 0}, {IP6, 72, 1}, {IP6, 73, 9}, /* AUTOFLOWLABEL ADDR_PREFERENCES MINHOPCOUNT */
	{IP6, 74, 1}, {IP6, 77, 1}, {IP6, 78, 1}, /* RECVORIGDSTADDR RECVFRAGSIZE FREEBIND */
};

struct told {
	const struct option *of;
	char value[WIDEST];
	socklen_t size;
};

static struct sample {
	int fd, count;
	struct told told[2 * MOST];
} samples[SOCKETS];

static void set(struct sample *s, const struct option *options, unsigned long count)
{
	for (unsigned long i = 0; i < count; i++) {
		const struct option *o = &options[i];
		long wide = o->value; /* the pacing rate is a long; elsewhere only the first four count */
		socklen_t size = o->level == SOL && o->name == 47 ? sizeof wide : sizeof o->value;
		if (setsockopt(s->fd, o->level, o->name, &wide, size) == 0)
			s->told[s->count++].of = o;
	}
}

/* Multicast goes out by the loopback device: an address, not a number. */
static void set_interface(struct sample *s)
{
	static const struct option interface = {IP, 32, 0}; /* IP_MULTICAST_IF */
	struct in_addr loopback = {htonl(INADDR_LOOPBACK)};
	zt_must(setsockopt(s->fd, IP, 32, &loopback, sizeof loopback));
	s->told[s->count++].of = &interface;
}

static void ask(const struct sample *s, struct told *t)
{
	t->size = sizeof t->value;
	zt_must(getsockopt(s->fd, t->of->level, t->of->name, t->value, &t->size));
}

#define SET(sample, options) set(sample, options, sizeof options / sizeof *options)

int main(void)
{
	static const struct {
		int family, type, listens;
	} kinds[SOCKETS] = {
		{AF_INET, SOCK_STREAM, 0}, {AF_INET, SOCK_STREAM, 1}, {AF_INET, SOCK_DGRAM, 0},
		{AF_INET6, SOCK_STREAM, 1}, {AF_INET6, SOCK_DGRAM, 0},
	};
	for (int i = 0; i < SOCKETS; i++) {
		struct sample *s = &samples[i];
		s->fd = zt_must(socket(kinds[i].family, kinds[i].type, 0));
		SET(s, general);
		if (kinds[i].family == AF_INET)
			SET(s, ip);
		else
			SET(s, ip6);
		if (kinds[i].type == SOCK_STREAM)
			SET(s, tcp);
		else
			SET(s, udp);
		if (kinds[i].family == AF_INET && kinds[i].type == SOCK_DGRAM)
			set_interface(s);
		if (kinds[i].listens)
			zt_must(listen(s->fd, 5));
		zt_check(s->count > 10);
		for (int k = 0; k < s->count; k++)
			ask(s, &s->told[k]);
	}

	zt_ready();

	for (int i = 0; i < SOCKETS; i++)
		for (int k = 0; k < samples[i].count; k++) {
			struct told *was = &samples[i].told[k], is = *was;
			ask(&samples[i], &is);
			if (is.size != was->size || memcmp(is.value, was->value, is.size) != 0)
				zt_fail("socket %d, level %d, option %d tells something else", i,
					was->of->level, was->of->name);
		}
	return zt_pass();
}
