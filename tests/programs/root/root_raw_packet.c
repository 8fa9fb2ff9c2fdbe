/* Raw and packet sockets: what they are bound to, options, filters, memberships; nothing comes twice. */
#include "zt_root.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sys/socket.h>

enum { EXPERIMENTAL = 253, ETHERTYPE = 0x88b5, IPV6_CHECKSUM_AT = 2, TTL = 7 };

static const unsigned char GROUP[6] = {1, 0, 0x5e, 0, 0, 0x7b};

/* Packets whose first byte at `offset` is a 'z': the host may have others of that kind. */
static void only_ours(int fd, unsigned offset)
{
	struct sock_filter code[] = {
	    {BPF_LD | BPF_B | BPF_ABS, 0, 0, offset},
	    {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 'z'},
	    {BPF_RET | BPF_K, 0, 0, 0x1000},
	    {BPF_RET | BPF_K, 0, 0, 0},
	};
	struct sock_fprog program = {sizeof code / sizeof *code, code};
	zt_must(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program));
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof value;
	zt_must(getsockopt(fd, level, name, &value, &size));
	return value;
}

static void set(int fd, int level, int name, int value)
{
	zt_must(setsockopt(fd, level, name, &value, sizeof value));
}

/* One message with this text at `offset`, in time, and no other. */
static void gets(int fd, size_t offset, const char *text)
{
	char data[256] = "";
	struct pollfd waits = {fd, POLLIN, 0};
	zt_same(poll(&waits, 1, 30000), 1);
	ssize_t size = zt_must(recv(fd, data, sizeof data - 1, 0));
	zt_check(size >= (ssize_t)(offset + strlen(text)));
	zt_check(memcmp(data + offset, text, strlen(text)) == 0);
	zt_check(recv(fd, data, sizeof data, MSG_DONTWAIT) == -1 && errno == EAGAIN);
}

static int member(int fd, int name, int index, int type, const unsigned char *address)
{
	struct packet_mreq request = {.mr_ifindex = index, .mr_type = (unsigned short)type};
	if (address) {
		request.mr_alen = sizeof GROUP;
		memcpy(request.mr_address, address, sizeof GROUP);
	}
	return setsockopt(fd, SOL_PACKET, name, &request, sizeof request);
}

/* Is the device in our group? */
static bool is_in_group(void)
{
	char line[256];
	bool found = false;
	FILE *file = fopen("/proc/net/dev_mcast", "re");
	zt_check(file != NULL);
	while (fgets(line, sizeof line, file))
		found = found || strstr(line, "01005e00007b");
	fclose(file);
	return found;
}

int main(void)
{
	const struct in_addr here = {htonl(INADDR_LOOPBACK)};
	struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr = here};
	const int index = (int)if_nametoindex("lo");
	zt_check(index > 0);

	int raw = zt_must(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, EXPERIMENTAL));
	only_ours(raw, sizeof(struct iphdr));
	zt_must(bind(raw, (struct sockaddr *)&local, sizeof local));
	zt_must(connect(raw, (struct sockaddr *)&local, sizeof local));
	set(raw, IPPROTO_IP, IP_TTL, TTL);
	int raw6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC, EXPERIMENTAL);
	zt_check(raw6 >= 0 || access("/proc/net/raw6", F_OK) != 0); /* a host without IPv6 */
	if (raw6 >= 0) {
		only_ours(raw6, 0);
		set(raw6, IPPROTO_IPV6, IPV6_CHECKSUM, IPV6_CHECKSUM_AT);
	}
	int headers = zt_must(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
	int icmp = zt_must(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP));
	set(icmp, 255 /* SOL_RAW */, 1 /* ICMP_FILTER */, ~0);

	int packets = zt_must(socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	struct sockaddr_ll link = {
	    .sll_family = AF_PACKET, .sll_protocol = htons(ETHERTYPE), .sll_ifindex = index, .sll_halen = 6};
	only_ours(packets, 0);
	set(packets, SOL_PACKET, PACKET_AUXDATA, 1);
	set(packets, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1);
	zt_must(member(packets, PACKET_ADD_MEMBERSHIP, index, PACKET_MR_PROMISC, NULL));
	zt_must(member(packets, PACKET_ADD_MEMBERSHIP, index, PACKET_MR_MULTICAST, GROUP));
	zt_must(bind(packets, (struct sockaddr *)&link, sizeof link));
	int mute = zt_must(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));

	zt_ready();

	struct sockaddr_in name = {0};
	struct sockaddr_ll bound = {0};
	socklen_t size = sizeof name;
	zt_must(getsockname(raw, (struct sockaddr *)&name, &size));
	zt_same(name.sin_addr.s_addr, here.s_addr);
	zt_same(option(raw, SOL_SOCKET, SO_PROTOCOL), EXPERIMENTAL);
	zt_same(option(raw, IPPROTO_IP, IP_TTL), TTL);
	if (raw6 >= 0)
		zt_same(option(raw6, IPPROTO_IPV6, IPV6_CHECKSUM), IPV6_CHECKSUM_AT);
	zt_same(option(headers, IPPROTO_IP, IP_HDRINCL), 1);
	zt_same(option(icmp, 255, 1), ~0);
	zt_same(send(raw, "other", 5, 0), 5);
	zt_same(send(raw, "z raw", 5, 0), 5);
	gets(raw, sizeof(struct iphdr), "z raw");

	size = sizeof bound;
	zt_must(getsockname(packets, (struct sockaddr *)&bound, &size));
	zt_same(bound.sll_ifindex, index);
	zt_same(bound.sll_protocol, htons(ETHERTYPE));
	zt_same(option(packets, SOL_PACKET, PACKET_AUXDATA), 1);
	zt_same(option(packets, SOL_PACKET, PACKET_IGNORE_OUTGOING), 1);
	zt_same(sendto(packets, "other", 5, 0, (struct sockaddr *)&link, sizeof link), 5);
	zt_same(sendto(packets, "z packet", 8, 0, (struct sockaddr *)&link, sizeof link), 8);
	gets(packets, 0, "z packet");
	zt_check(is_in_group()); /* nothing tells of the other */
	size = sizeof bound;
	zt_must(getsockname(mute, (struct sockaddr *)&bound, &size));
	zt_same(bound.sll_ifindex, 0);
	return zt_pass();
}
