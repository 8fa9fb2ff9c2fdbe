/* UDP sockets: bound, connected, neither. */
#include "zt_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in from, mine;
	socklen_t size = sizeof at;
	int bound = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	int connected = zt_must(socket(AF_INET, SOCK_DGRAM, 0));
	int plain = zt_must(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
	zt_must(bind(bound, (struct sockaddr *)&at, size));
	zt_must(getsockname(bound, (struct sockaddr *)&at, &size));
	zt_must(connect(connected, (struct sockaddr *)&at, size));
	zt_must(getsockname(connected, (struct sockaddr *)&mine, &size));
	zt_must(setsockopt(plain, SOL_SOCKET, SO_BROADCAST, &(int){1}, sizeof(int)));

	zt_ready();

	char text[16] = {0};
	int value = 0;
	zt_writes(connected, "hello");
	zt_same(recvfrom(bound, text, sizeof text, 0, (struct sockaddr *)&from, &size), 5);
	zt_check(strcmp(text, "hello") == 0);
	zt_same(from.sin_port, mine.sin_port);
	zt_same(sendto(bound, "back", 4, 0, (struct sockaddr *)&from, size), 4);
	zt_reads(connected, "back");
	zt_same(sendto(plain, "plain", 5, 0, (struct sockaddr *)&at, size), 5);
	zt_reads(bound, "plain");
	zt_must(getsockopt(plain, SOL_SOCKET, SO_BROADCAST, &value, &(socklen_t){sizeof value}));
	zt_same(value, 1);
	return zt_pass();
}
