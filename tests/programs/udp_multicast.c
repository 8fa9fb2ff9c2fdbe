/* Multicast: the groups that a socket is in, whom it hears there, and where it sends to by default. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

static struct sockaddr_in at4(const char *host, in_port_t port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = port};
	zt_same(inet_pton(AF_INET, host, &at.sin_addr), 1);
	return at;
}

static struct sockaddr_in6 at6(const char *host)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6};
	zt_same(inet_pton(AF_INET6, host, &at.sin6_addr), 1);
	return at;
}

static void hears(int fd, const char *text)
{
	char got[32] = {0};
	zt_must(recv(fd, got, sizeof got, MSG_DONTWAIT));
	if (strcmp(got, text) != 0)
		zt_fail("heard %s, not %s", got, text);
}

static void hears_nothing(int fd)
{
	char byte;
	zt_check(recv(fd, &byte, 1, MSG_DONTWAIT) == -1);
	zt_same(errno, EAGAIN);
}

/* The sources that the socket has for a group; -1 if it is not in it. */
static int sources(int fd, int level, const void *group, size_t size, uint32_t *ret_mode)
{
	struct {
		struct group_filter filter;
		struct sockaddr_storage more[7];
	} asked = {.filter = {.gf_interface = 1, .gf_numsrc = 8}};
	socklen_t length = sizeof asked;
	memcpy(&asked.filter.gf_group, group, size);
	if (getsockopt(fd, level, MCAST_MSFILTER, &asked, &length))
		return -1;
	*ret_mode = asked.filter.gf_fmode;
	return (int)asked.filter.gf_numsrc;
}

int main(void)
{
	const unsigned lo = if_nametoindex("lo");
	struct sockaddr_in any = {.sin_family = AF_INET}, group = at4("239.1.2.3", 0), other = at4("239.1.2.4", 0);
	struct sockaddr_in one = at4("127.0.0.1", 0), two = at4("127.0.0.2", 0);
	struct sockaddr_in6 group6 = at6("ff15::1234");
	socklen_t size = sizeof any;
	uint32_t mode;
	zt_same(lo, 1);
	int member = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	zt_must(setsockopt(member, IPPROTO_IP, IP_MULTICAST_ALL, &(int){0}, sizeof(int)));
	zt_must(bind(member, (struct sockaddr *)&any, sizeof any));
	zt_must(getsockname(member, (struct sockaddr *)&any, &size));
	struct ip_mreqn join = {.imr_multiaddr = group.sin_addr, .imr_ifindex = (int)lo};
	zt_must(setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &join, sizeof join));
	struct group_source_req only = {.gsr_interface = lo};
	memcpy(&only.gsr_group, &other, sizeof other);
	memcpy(&only.gsr_source, &one, sizeof one);
	zt_must(setsockopt(member, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &only, sizeof only));
	struct group_source_req not = {.gsr_interface = lo};
	memcpy(&not.gsr_group, &group, sizeof group);
	memcpy(&not.gsr_source, &two, sizeof two);
	zt_must(setsockopt(member, IPPROTO_IP, MCAST_BLOCK_SOURCE, &not, sizeof not));
	int member6 = zt_must(socket(AF_INET6, SOCK_DGRAM, 0));
	struct ipv6_mreq join6 = {.ipv6mr_multiaddr = group6.sin6_addr, .ipv6mr_interface = lo};
	zt_must(setsockopt(member6, IPPROTO_IPV6, IPV6_JOIN_GROUP, &join6, sizeof join6));
	/* By the number of a device, which getsockopt does not tell. */
	int sender = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	struct ip_mreqn by = {.imr_ifindex = (int)lo};
	zt_must(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by));
	zt_must(bind(sender, (struct sockaddr *)&one, sizeof one));
	int blocked = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	zt_must(setsockopt(blocked, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by));
	zt_must(bind(blocked, (struct sockaddr *)&two, sizeof two));

	zt_ready();

	group.sin_port = other.sin_port = any.sin_port;
	zt_same(sendto(sender, "to the group", 12, 0, (struct sockaddr *)&group, sizeof group), 12);
	hears(member, "to the group");
	zt_same(sendto(blocked, "unheard", 7, 0, (struct sockaddr *)&group, sizeof group), 7);
	hears_nothing(member);
	zt_same(sendto(sender, "to the other", 12, 0, (struct sockaddr *)&other, sizeof other), 12);
	hears(member, "to the other");
	zt_same(sendto(blocked, "unheard", 7, 0, (struct sockaddr *)&other, sizeof other), 7);
	hears_nothing(member);
	group.sin_port = other.sin_port = 0;
	zt_same(sources(member, IPPROTO_IP, &group, sizeof group, &mode), 1);
	zt_same(mode, MCAST_EXCLUDE);
	zt_same(sources(member, IPPROTO_IP, &other, sizeof other, &mode), 1);
	zt_same(mode, MCAST_INCLUDE);
	zt_same(sources(sender, IPPROTO_IP, &group, sizeof group, &mode), -1);
	zt_same(sources(member6, IPPROTO_IPV6, &group6, sizeof group6, &mode), 0);
	zt_same(mode, MCAST_EXCLUDE);
	return zt_pass();
}
