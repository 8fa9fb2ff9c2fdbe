/* Netlink sockets: addresses, groups, options, and that they are answered afterwards as before. */
#include "zt_test.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

/* Groups that nobody sends to: what a host tells of itself would have to be read before a checkpoint. */
enum { GROUP_OF_ROUTE = RTMGRP_DECnet_IFADDR, NO_UEVENTS = 1 << 2, GROUP_OF_FRESH = RTNLGRP_DECnet_ROUTE };

static struct sockaddr_nl address_of(int socket)
{
	struct sockaddr_nl address;
	socklen_t size = sizeof address;
	zt_must(getsockname(socket, (struct sockaddr *)&address, &size));
	return address;
}

static int option_of(int socket, int option)
{
	int value = -1;
	socklen_t size = sizeof value;
	zt_must(getsockopt(socket, SOL_NETLINK, option, &value, &size));
	return value;
}

/* Ask for the loopback interface; the answer is to come, from the kernel, to us. */
static void ask(int socket, uint32_t sequence)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg about;
	} question = {
		.header = {sizeof question, RTM_GETLINK, NLM_F_REQUEST, sequence, 0},
		.about = {.ifi_index = 1},
	};
	char answer[16384];
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK}, from;
	socklen_t size = sizeof from;
	zt_must(sendto(socket, &question, sizeof question, 0, (struct sockaddr *)&kernel, sizeof kernel));
	zt_check(recvfrom(socket, answer, sizeof answer, 0, (struct sockaddr *)&from, &size) > 0);
	struct nlmsghdr *header = (struct nlmsghdr *)answer;
	zt_same(header->nlmsg_type, RTM_NEWLINK);
	zt_same(header->nlmsg_seq, sequence);
	zt_same(header->nlmsg_pid, address_of(socket).nl_pid);
	zt_same(from.nl_pid, 0);
}

int main(void)
{
	int fresh = zt_must(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	int route = zt_must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	int news = zt_must(socket(AF_NETLINK, SOCK_DGRAM | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT));
	int one = 1, group = GROUP_OF_FRESH, large = 300000, value;
	struct sockaddr_nl any = {.nl_family = AF_NETLINK, .nl_groups = GROUP_OF_ROUTE};
	struct sockaddr_nl udev = {.nl_family = AF_NETLINK, .nl_groups = NO_UEVENTS};
	zt_must(bind(route, (struct sockaddr *)&any, sizeof any));
	zt_must(bind(news, (struct sockaddr *)&udev, sizeof udev));
	zt_must(setsockopt(fresh, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof one));
	zt_must(setsockopt(fresh, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
	zt_must(setsockopt(news, SOL_NETLINK, NETLINK_NO_ENOBUFS, &one, sizeof one));
	zt_must(setsockopt(news, SOL_SOCKET, SO_RCVBUF, &large, sizeof large));
	socklen_t size = sizeof value;
	zt_must(getsockopt(news, SOL_SOCKET, SO_RCVBUF, &value, &size));
	uint32_t port = address_of(route).nl_pid;

	zt_ready();

	zt_same(address_of(route).nl_pid, port);
	zt_same(address_of(route).nl_groups, GROUP_OF_ROUTE);
	zt_same(address_of(news).nl_groups, NO_UEVENTS);
	zt_same(option_of(fresh, NETLINK_EXT_ACK), 1);
	zt_same(option_of(route, NETLINK_EXT_ACK), 0);
	zt_same(option_of(news, NETLINK_NO_ENOBUFS), 1);
	int now;
	zt_must(getsockopt(news, SOL_SOCKET, SO_RCVBUF, &now, &size));
	zt_same(now, value);
	uint32_t groups[8] = {0};
	size = sizeof groups;
	zt_must(getsockopt(fresh, SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, groups, &size));
	zt_check(groups[(GROUP_OF_FRESH - 1) / 32] & 1u << (GROUP_OF_FRESH - 1) % 32);
	zt_check(fcntl(news, F_GETFL) & O_NONBLOCK);
	zt_check(fcntl(route, F_GETFD) & FD_CLOEXEC);
	ask(route, 1);
	ask(fresh, 2);
	return zt_pass();
}
