/* A pod that does its worst to whoever wants to freeze, look at, or move it. What, is the argument:
 *
 *     loop trap kernel    the stub's interpreter becomes code that never ends, faults, or never leaves
 *                         the kernel for long
 *     unmapped            the stub is gone
 *     shared              the stub is memory that a relative writes to all the time
 *     rewritten           a thread writes a loop and then the old code there, all the time
 *     spinners            many that use all the processor they get
 *     stopping            relatives stop each other and let each other go on, all the time
 *     killing             relatives kill each other, and are replaced, all the time
 */
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <pthread.h>

#include "../zt_test.h"

#define STUB ((char *)0x7e9000000000)
#define INTERPRETER (STUB + 0x6000)
#define SIZE 0x140000
#define RELATIVES 6

static const char LOOP[] = "\xeb\xfe";
static const char TRAP[] = "\x0f\x0b";
static const char KERNEL[] = "\xb8\x18\0\0\0\x0f\x05\xeb\xf7"; /* sched_yield, again and again */

static void nap(long us)
{
	struct timespec span = {0, us * 1000};
	nanosleep(&span, NULL);
}

static void write_there(const char *code, size_t size)
{
	int fd = zt_must(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
	zt_check(pwrite(fd, code, size, (off_t)(uintptr_t)INTERPRETER) == (ssize_t)size);
	close(fd);
}

static void *rewrite(void *unused)
{
	char ours[sizeof LOOP];
	memcpy(ours, INTERPRETER, sizeof ours);
	for (;;) {
		write_there(LOOP, sizeof LOOP);
		nap(200);
		write_there(ours, sizeof ours);
		nap(200);
	}
	return unused;
}

static void share(void)
{
	zt_check(mmap(STUB, SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		      MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == STUB);
	if (zt_must(fork()))
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;)
		memcpy(INTERPRETER, LOOP, sizeof LOOP);
}

static unsigned seed;

static int some(int most)
{
	seed = seed * 1103515245 + 12345;
	return (int)(seed >> 16) % most;
}

static pid_t *relatives; /* shared by them all */

static void bother(bool kills)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	seed = (unsigned)getpid();
	for (;;) {
		pid_t other = relatives[some(RELATIVES)];
		if (other > 1 && other != getpid()) {
			kill(other, kills ? SIGKILL : SIGSTOP);
			nap(500 + some(3000));
			kill(other, SIGCONT);
		}
		nap(500 + some(3000));
	}
}

static void spin(void)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (volatile unsigned long n = 0;; n++)
		;
}

static void keep_relatives(const char *what)
{
	relatives = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (;;) {
		for (int i = 0; i < RELATIVES; i++) {
			if (relatives[i])
				continue;
			pid_t child = fork();
			if (!child && strcmp(what, "spinners") == 0)
				spin();
			if (!child)
				bother(strcmp(what, "killing") == 0);
			relatives[i] = child > 0 ? child : 0;
		}
		pid_t ended;
		while ((ended = waitpid(-1, NULL, WNOHANG)) > 0)
			for (int i = 0; i < RELATIVES; i++)
				if (relatives[i] == ended)
					relatives[i] = 0;
		nap(2000);
	}
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	pthread_t thread;
	if (strcmp(what, "loop") == 0)
		write_there(LOOP, sizeof LOOP);
	else if (strcmp(what, "trap") == 0)
		write_there(TRAP, sizeof TRAP);
	else if (strcmp(what, "kernel") == 0)
		write_there(KERNEL, sizeof KERNEL);
	else if (strcmp(what, "unmapped") == 0)
		zt_must(munmap(STUB, SIZE));
	else if (strcmp(what, "shared") == 0)
		share();
	else if (strcmp(what, "rewritten") == 0)
		zt_check(!pthread_create(&thread, NULL, rewrite, NULL));
	zt_must(write(1, "ready\n", 6));
	if (strcmp(what, "spinners") == 0 || strcmp(what, "stopping") == 0 || strcmp(what, "killing") == 0)
		keep_relatives(what);
	for (;;)
		syscall(SYS_pause); /* not by the vDSO, which may be gone */
}
