/* Unix sockets with names: a listener, its connection, a datagram server and its client. */
#include "zt_test.h"

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

static socklen_t name(struct sockaddr_un *address, const char *what, bool abstract)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	int n = snprintf(address->sun_path + abstract, sizeof address->sun_path - 1, "zt_%s.%d",
			 what, (int)getpid());
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
}

int main(void)
{
	struct sockaddr_un path, abstract, server_at, client_at, peer;
	socklen_t path_size = name(&path, "listener", false);
	socklen_t abstract_size = name(&abstract, "abstract", true);
	int listener = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	int hidden = zt_must(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	zt_must(bind(listener, (struct sockaddr *)&path, path_size));
	zt_must(bind(hidden, (struct sockaddr *)&abstract, abstract_size));
	zt_must(chmod(path.sun_path, 0600));
	zt_must(listen(listener, 5));
	zt_must(listen(hidden, 5));
	int client = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(connect(client, (struct sockaddr *)&path, path_size));
	int accepted = zt_must(accept(listener, NULL, NULL));
	zt_writes(accepted, "queued");
	int server = zt_must(socket(AF_UNIX, SOCK_DGRAM, 0));
	int sender = zt_must(socket(AF_UNIX, SOCK_DGRAM, 0));
	zt_must(bind(server, (struct sockaddr *)&server_at, name(&server_at, "server", false)));
	zt_must(bind(sender, (struct sockaddr *)&client_at, name(&client_at, "client", false)));
	zt_must(connect(sender, (struct sockaddr *)&server_at, sizeof server_at));
	zt_writes(sender, "message");

	zt_ready();

	char text[32] = {0};
	socklen_t size = sizeof peer;
	struct stat st;
	zt_reads(client, "queued");
	zt_writes(client, "more");
	zt_reads(accepted, "more");
	zt_must(getpeername(client, (struct sockaddr *)&peer, &size));
	zt_check(strcmp(peer.sun_path, path.sun_path) == 0);
	zt_must(stat(path.sun_path, &st));
	zt_same(st.st_mode & 0777, 0600);
	int other = zt_must(socket(AF_UNIX, SOCK_STREAM, 0));
	zt_must(connect(other, (struct sockaddr *)&path, path_size));
	close(zt_must(accept(listener, NULL, NULL)));
	int packets = zt_must(socket(AF_UNIX, SOCK_SEQPACKET, 0));
	zt_must(connect(packets, (struct sockaddr *)&abstract, abstract_size));
	close(zt_must(accept(hidden, NULL, NULL)));
	size = sizeof peer;
	zt_same(recvfrom(server, text, sizeof text, 0, (struct sockaddr *)&peer, &size), 7);
	zt_check(strcmp(text, "message") == 0 && strcmp(peer.sun_path, client_at.sun_path) == 0);
	zt_same(sendto(server, "back", 4, 0, (struct sockaddr *)&peer, size), 4);
	zt_reads(sender, "back");
	zt_must(unlink(path.sun_path));
	zt_must(unlink(server_at.sun_path));
	zt_must(unlink(client_at.sun_path));
	return zt_pass();
}
