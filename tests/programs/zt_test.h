/* The frame of a self-checking program.
 *
 *     int main(void) {
 *         ... set up ...
 *         zt_ready();                  prints "ready", waits until the file $ZT_GO is there
 *         ... check ...
 *         return zt_pass();            prints "PASS"; zt_check(...) prints "FAIL: ..." and exits 1
 *     }
 *
 * Between ready and PASS it may be frozen, checkpointed, killed, restored, moved. Nothing of that
 * may show: no call fails with EINTR, no number changes.
 */
#ifndef ZT_TEST_H
#define ZT_TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ZT_MS 1000000LL

__attribute__((format(printf, 1, 2), noreturn, unused)) static void zt_fail(const char *format, ...)
{
	char line[512];
	va_list args;
	va_start(args, format);
	int n = snprintf(line, sizeof line, "FAIL: ");
	n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
	va_end(args);
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n++] = '\n';
	if (write(1, line, (size_t)n) < 0)
		_exit(2);
	_exit(1);
}

/* The condition must hold; if not, it and errno are the reason. */
#define zt_check(condition)                                                                        \
	do {                                                                                       \
		errno = 0;                                                                         \
		if (!(condition))                                                                  \
			zt_fail("%s:%d: %s (%s)", __FILE__, __LINE__, #condition,                  \
				strerror(errno));                                                  \
	} while (0)

/* The call must not return -1; gives its result. */
#define zt_must(call)                                                                              \
	({                                                                                         \
		__typeof__(call) zt_result = (call);                                               \
		if ((long)zt_result == -1)                                                         \
			zt_fail("%s:%d: %s: %s", __FILE__, __LINE__, #call, strerror(errno));      \
		zt_result;                                                                         \
	})

/* Both are integers and must be equal; if not, their values are the reason. */
#define zt_same(found, wanted)                                                                     \
	do {                                                                                       \
		long long zt_found = (long long)(found), zt_wanted = (long long)(wanted);          \
		if (zt_found != zt_wanted)                                                         \
			zt_fail("%s:%d: %s is %lld, not %lld", __FILE__, __LINE__, #found,         \
				zt_found, zt_wanted);                                              \
	} while (0)

__attribute__((unused)) static int64_t zt_now_ns(clockid_t clock)
{
	struct timespec now;
	zt_must(clock_gettime(clock, &now));
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

__attribute__((unused)) static void zt_sleep_ns(int64_t ns)
{
	struct timespec t = {ns / 1000000000, ns % 1000000000};
	zt_same(nanosleep(&t, NULL), 0);
}

__attribute__((unused)) static void zt_say_ready(void)
{
	zt_same(write(1, "ready\n", 6), 6);
}

/* True once we were told to go on; without $ZT_GO at once. */
__attribute__((unused)) static bool zt_may_go(void)
{
	const char *path = getenv("ZT_GO");
	return path == NULL || access(path, F_OK) == 0;
}

__attribute__((unused)) static void zt_wait_go(void)
{
	while (!zt_may_go())
		zt_sleep_ns(10 * ZT_MS);
}

/* The state is set up: say so, and wait until we are told to go on. */
__attribute__((unused)) static void zt_ready(void)
{
	zt_say_ready();
	zt_wait_go();
}

__attribute__((unused)) static int zt_pass(void)
{
	zt_same(write(1, "PASS\n", 5), 5);
	return 0;
}

/* An empty file of ours in the working directory, open for reading and writing. */
__attribute__((unused)) static int zt_file(char *path, size_t size, const char *what)
{
	snprintf(path, size, "zt_%s.%d", what, (int)getpid());
	return zt_must(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
}

/* Waits for a child, which must have ended with exit status 0. */
__attribute__((unused)) static void zt_join(pid_t child)
{
	int status;
	zt_same(waitpid(child, &status, 0), child);
	if (status != 0)
		zt_fail("child %d ended with status %#x", (int)child, (unsigned)status);
}

/* Reads exactly this text, in one read. */
#define zt_reads(fd, text)                                                                         \
	do {                                                                                       \
		char zt_buffer[256] = {0};                                                         \
		ssize_t zt_n = zt_must(read(fd, zt_buffer, sizeof zt_buffer - 1));                 \
		if (zt_n != (ssize_t)strlen(text) || memcmp(zt_buffer, text, (size_t)zt_n) != 0)   \
			zt_fail("%s:%d: read \"%s\", not \"%s\"", __FILE__, __LINE__, zt_buffer,   \
				text);                                                             \
	} while (0)

#define zt_writes(fd, text) zt_same(write(fd, text, strlen(text)), strlen(text))

#endif
