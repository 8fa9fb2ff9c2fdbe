/* Open directories: as the base of relative paths, as the working directory, half read. */
#include "zt_test.h"

#include <dirent.h>

int main(void)
{
	char path[64], name[96];
	snprintf(path, sizeof path, "zt_directory.%d", (int)getpid());
	zt_must(mkdir(path, 0700));
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "%s/%d", path, i);
		close(zt_must(open(name, O_CREAT | O_WRONLY, 0600)));
	}
	DIR *dir = opendir(path);
	zt_check(dir != NULL);
	unsigned seen = 0;
	struct dirent *entry;
	for (int i = 0; i < 10 && (entry = readdir(dir)) != NULL; i++)
		if (entry->d_name[0] != '.')
			seen |= 1u << atoi(entry->d_name);
	int base = zt_must(open(path, O_PATH | O_DIRECTORY));

	zt_ready();

	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			seen |= 1u << atoi(entry->d_name);
	zt_same(seen, (1u << 20) - 1);
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof name, "%d", i);
		zt_must(unlinkat(base, name, 0));
	}
	zt_must(rmdir(path));
	return zt_pass();
}
