/* POSIX message queues: messages by priority and in order, empty and full ones, a removed one, two
 * descriptions of one, one who waits for a message, and one who is told of it by a signal. */
#include "zt_test.h"

#include <mqueue.h>

static volatile sig_atomic_t told, value, sender;

static void on_message(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	told++;
	value = info->si_value.sival_int;
	sender = info->si_pid;
}

static mqd_t queue(const char *suffix, int flags, long most)
{
	char name[64];
	struct mq_attr attributes = {.mq_maxmsg = most, .mq_msgsize = 100};
	snprintf(name, sizeof name, "/zt-%d-%s", (int)getpid(), suffix);
	if (flags & O_RDWR)
		mq_unlink(name); /* of another with this id, long ago */
	return zt_must(mq_open(name, flags | O_CREAT, 0620, &attributes));
}

static void expect(mqd_t from, const char *text, unsigned wanted)
{
	char found[100];
	unsigned priority;
	zt_same(zt_must(mq_receive(from, found, sizeof found, &priority)), strlen(text));
	zt_check(!memcmp(found, text, strlen(text)));
	zt_same(priority, wanted);
}

int main(void)
{
	struct sigaction action = {.sa_sigaction = on_message, .sa_flags = SA_SIGINFO | SA_RESTART};
	struct sigevent event = {
		.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
	struct mq_attr attributes;
	char found[100];
	int ready[2];
	zt_must(sigaction(SIGUSR1, &action, NULL));
	mqd_t some = queue("some", O_RDWR, 8), other = queue("some", O_WRONLY | O_NONBLOCK, 8);
	mqd_t full = queue("full", O_RDWR | O_NONBLOCK, 2), removed = queue("removed", O_RDWR, 3);
	mqd_t awaited = queue("awaited", O_RDWR | O_CLOEXEC, 3), telling = queue("telling", O_RDWR, 3);
	zt_must(mq_send(some, "first", 5, 3));
	zt_must(mq_send(some, "urgent", 6, 9));
	zt_must(mq_send(other, "second", 6, 3));
	zt_must(mq_send(some, "", 0, 0));
	zt_must(mq_send(full, "x", 1, 1));
	zt_must(mq_send(full, "y", 1, 1));
	zt_must(mq_send(removed, "still", 5, 32767));
	char name[64];
	snprintf(name, sizeof name, "/zt-%d-removed", (int)getpid());
	zt_must(mq_unlink(name));
	zt_must(mq_notify(telling, &event));
	mqd_t late = queue("late", O_RDWR, 3); /* is told of the next one in it when it is empty */
	zt_must(mq_send(late, "early", 5, 0));
	event.sigev_value.sival_int = 78;
	zt_must(mq_notify(late, &event));
	zt_must(pipe(ready));
	pid_t child = zt_must(fork());
	if (!child) {
		zt_must(write(ready[1], "r", 1));
		expect(awaited, "at last", 5);
		_exit(0);
	}
	zt_same(zt_must(read(ready[0], found, 1)), 1);

	zt_ready();

	zt_same(told, 0);
	zt_must(mq_getattr(some, &attributes));
	zt_same(attributes.mq_maxmsg, 8);
	zt_same(attributes.mq_msgsize, 100);
	zt_same(attributes.mq_curmsgs, 4);
	zt_same(attributes.mq_flags, 0);
	zt_must(mq_getattr(other, &attributes));
	zt_same(attributes.mq_flags, O_NONBLOCK);
	struct stat status;
	zt_must(fstat(some, &status));
	zt_same(status.st_mode & 0777, 0620 & ~022);
	expect(some, "urgent", 9);
	expect(some, "first", 3);
	expect(some, "second", 3);
	expect(some, "", 0);
	zt_check(mq_send(full, "z", 1, 1) == -1 && errno == EAGAIN);
	expect(full, "x", 1);
	expect(full, "y", 1);
	expect(removed, "still", 32767);
	zt_check(mq_unlink(name) == -1 && errno == ENOENT);
	zt_check(mq_notify(telling, &event) == -1 && errno == EBUSY);
	zt_must(mq_send(telling, "hear", 4, 0));
	zt_same(told, 1);
	zt_same(value, 77);
	zt_same(sender, getpid());
	zt_must(mq_send(late, "not yet", 7, 0));
	zt_same(told, 1);
	expect(late, "early", 0);
	expect(late, "not yet", 0);
	zt_must(mq_send(late, "now", 3, 0));
	zt_same(told, 2);
	zt_same(value, 78);
	zt_must(mq_send(awaited, "at last", 7, 5));
	int ended;
	zt_same(zt_must(waitpid(child, &ended, 0)), child);
	zt_same(ended, 0);
	static const char *const names[] = {"some", "full", "awaited", "telling", "late"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		snprintf(name, sizeof name, "/zt-%d-%s", (int)getpid(), names[i]);
		zt_must(mq_unlink(name));
	}
	return zt_pass();
}
