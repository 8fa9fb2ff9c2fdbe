/* Datagrams that wait to be read, of senders that are bound to no address in particular, or have another
 * family than who reads them; sent to one of several addresses, and to one of several sockets that share
 * a port, of which each has its own. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int udp(int family, uint32_t host, uint16_t port, int share)
{
	struct sockaddr_in four = {AF_INET, htons(port), {htonl(host)}, {0}};
	struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
	int fd = zt_must(socket(family, SOCK_DGRAM, 0));
	if (share)
		zt_must(setsockopt(fd, SOL_SOCKET, share, &(int){1}, sizeof(int)));
	if (family == AF_INET)
		zt_must(bind(fd, (struct sockaddr *)&four, sizeof four));
	else
		zt_must(bind(fd, (struct sockaddr *)&six, sizeof six));
	return fd;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 name; /* in an address of IPv4 it is in the same place */
	zt_must(getsockname(fd, (struct sockaddr *)&name, &(socklen_t){sizeof name}));
	return ntohs(name.sin6_port);
}

static void give(int fd, const char *text, uint32_t host, uint16_t port)
{
	struct sockaddr_in to = {AF_INET, htons(port), {htonl(host)}, {0}};
	zt_same(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&to, sizeof to), strlen(text));
}

/* From the loopback address, of this port. */
static void take(int fd, const char *text, uint16_t port)
{
	union {
		struct sockaddr_in four;
		struct sockaddr_in6 six;
	} from = {0};
	char got[64] = {0};
	zt_must(recvfrom(fd, got, sizeof got - 1, MSG_DONTWAIT, (struct sockaddr *)&from, &(socklen_t){sizeof from}));
	if (strcmp(got, text) != 0)
		zt_fail("read \"%s\", not \"%s\"", got, text);
	zt_same(ntohs(from.four.sin_port), port);
	uint32_t host = from.four.sin_addr.s_addr;
	if (from.four.sin_family == AF_INET6)
		memcpy(&host, &from.six.sin6_addr.s6_addr[12], sizeof host);
	zt_same(ntohl(host), INADDR_LOOPBACK);
}

/* What the next one was sent to, and when it will have lived for so many hops. */
static void take_told(int fd, const char *text, uint32_t to, int hops)
{
	char got[64] = {0}, control[256];
	struct iovec place = {got, sizeof got - 1};
	struct msghdr message = {.msg_iov = &place, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int told = 0;
	zt_must(recvmsg(fd, &message, MSG_DONTWAIT));
	zt_check(strcmp(got, text) == 0);
	for (struct cmsghdr *one = CMSG_FIRSTHDR(&message); one; one = CMSG_NXTHDR(&message, one)) {
		if (one->cmsg_type == IP_PKTINFO)
			zt_same(ntohl(((struct in_pktinfo *)CMSG_DATA(one))->ipi_addr.s_addr), to);
		if (one->cmsg_type == IP_TTL)
			zt_same(*(int *)CMSG_DATA(one), hops);
		told++;
	}
	zt_same(told, 2);
}

static void nothing_more(int fd)
{
	char byte;
	zt_same(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	zt_same(errno, EAGAIN);
}

int main(void)
{
	static const int SHARING[2] = {SO_REUSEADDR, SO_REUSEPORT};
	bool six = access("/proc/net/if_inet6", F_OK) == 0;
	int other = six ? AF_INET6 : AF_INET, shared[2][3];
	int bound = udp(AF_INET, INADDR_LOOPBACK, 0, 0), both = udp(other, INADDR_ANY, 0, 0);
	int anywhere = udp(AF_INET, INADDR_ANY, 0, 0), fresh = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	give(fresh, "from nowhere in particular", INADDR_LOOPBACK, port_of(bound));
	give(anywhere, "from any", INADDR_LOOPBACK, port_of(bound));
	give(fresh, "to both", INADDR_LOOPBACK, port_of(both));
	give(bound, "again", INADDR_LOOPBACK, port_of(both));

	zt_must(setsockopt(anywhere, IPPROTO_IP, IP_PKTINFO, &(int){1}, sizeof(int)));
	zt_must(setsockopt(anywhere, IPPROTO_IP, IP_RECVTTL, &(int){1}, sizeof(int)));
	zt_must(setsockopt(fresh, IPPROTO_IP, IP_TTL, &(int){9}, sizeof(int)));
	give(fresh, "one", INADDR_LOOPBACK, port_of(anywhere));
	give(fresh, "two", INADDR_LOOPBACK + 4, port_of(anywhere));

	/* Each of those that share a port has one that came by a connection, which is over. */
	for (int how = 0; how < 2; how++) {
		int at = port_of(udp(AF_INET, INADDR_ANY, 0, SHARING[how]));
		for (int i = 0; i < 3; i++) {
			struct sockaddr_in from = {AF_INET, htons(port_of(bound)), {htonl(INADDR_LOOPBACK)}, {0}};
			int fd = shared[how][i] = udp(AF_INET, INADDR_ANY, (uint16_t)at, SHARING[how]);
			zt_must(connect(fd, (struct sockaddr *)&from, sizeof from));
			char text[] = "shared 0";
			text[7] = (char)('0' + i);
			give(bound, text, INADDR_LOOPBACK, port_of(fd));
			zt_must(connect(fd, &(struct sockaddr){.sa_family = AF_UNSPEC}, sizeof(struct sockaddr)));
		}
	}

	zt_ready();

	take(bound, "from nowhere in particular", port_of(fresh));
	take(bound, "from any", port_of(anywhere));
	take(both, "to both", port_of(fresh));
	take(both, "again", port_of(bound));
	take_told(anywhere, "one", INADDR_LOOPBACK, 9);
	take_told(anywhere, "two", INADDR_LOOPBACK + 4, 9);
	for (int how = 0; how < 2; how++)
		for (int i = 0; i < 3; i++) {
			char text[] = "shared 0";
			text[7] = (char)('0' + i);
			take(shared[how][i], text, port_of(bound));
			nothing_more(shared[how][i]);
		}
	give(fresh, "and on", INADDR_LOOPBACK, port_of(both));
	take(both, "and on", port_of(fresh));
	return zt_pass();
}
