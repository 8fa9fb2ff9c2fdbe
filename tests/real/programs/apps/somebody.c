/* To be preloaded: a user whom the host does not list has a name all the same, which initdb wants. */
#include <pwd.h>
#include <stddef.h>
#include <unistd.h>

static struct passwd somebody = {.pw_name = "me", .pw_dir = "/", .pw_shell = "/bin/sh"};

struct passwd *getpwuid(uid_t uid)
{
	somebody.pw_uid = uid;
	somebody.pw_gid = getgid();
	return &somebody;
}
