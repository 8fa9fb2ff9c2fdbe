/* Message queues that have the C library start a thread for the next message (SIGEV_THREAD): an empty one,
 * and one with a message in it, which tells of one that comes when that was taken. A third one is asked as
 * the C library does it, and says no more than it should. */
#include "zt_test.h"

#include <mqueue.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { QUEUES = 2, COOKIE = 32, WOKEN_UP = 1 };

static char names[QUEUES][64];
static mqd_t queues[QUEUES];
static pthread_barrier_t told;
static int value;

static void tell(union sigval given)
{
	value = given.sival_int;
	pthread_barrier_wait(&told);
}

static void ask(int i)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = tell};
	event.sigev_value.sival_int = 10 + i;
	zt_must(mq_notify(queues[i], &event));
}

static void takes(int i, const char *text)
{
	char found[32] = {0};
	zt_same(mq_receive(queues[i], found, sizeof found, NULL), strlen(text));
	zt_check(!strcmp(found, text));
}

static void tells(int i)
{
	value = 0;
	zt_must(mq_send(queues[i], "next", 4, 0));
	pthread_barrier_wait(&told);
	zt_same(value, 10 + i);
	takes(i, "next");
}

static int ask_by_hand(mqd_t queue)
{
	char cookie[COOKIE] = "what comes through the socket";
	int netlink = zt_must(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
	struct sigevent event = {.sigev_notify = SIGEV_THREAD, .sigev_signo = netlink};
	event.sigev_value.sival_ptr = cookie;
	zt_must(syscall(SYS_mq_notify, queue, &event));
	memset(cookie, 0, sizeof cookie);
	return netlink;
}

static void says(int netlink, const char *text)
{
	char found[COOKIE + 1];
	zt_same(recv(netlink, found, sizeof found, MSG_DONTWAIT), text ? COOKIE : -1);
	if (text) {
		zt_check(!strcmp(found, text));
		zt_same(found[COOKIE - 1], WOKEN_UP);
	}
}

int main(void)
{
	struct mq_attr attributes = {.mq_maxmsg = 4, .mq_msgsize = 32};
	char name[64];
	snprintf(name, sizeof name, "/zt_by_hand.%d", (int)getpid());
	mqd_t third = zt_must(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
	zt_must(mq_unlink(name));
	zt_must(mq_send(third, "first", 5, 0));
	int netlink = ask_by_hand(third);
	zt_same(pthread_barrier_init(&told, NULL, 2), 0);
	for (int i = 0; i < QUEUES; i++) {
		snprintf(names[i], sizeof names[i], "/zt_thread.%d.%d", (int)getpid(), i);
		queues[i] = zt_must(mq_open(names[i], O_RDWR | O_CREAT | O_EXCL, 0600, &attributes));
		zt_must(mq_unlink(names[i]));
	}
	zt_must(mq_send(queues[1], "first", 5, 3));
	ask(0);
	ask(1);

	zt_ready();

	struct sigevent event = {.sigev_notify = SIGEV_NONE};
	zt_same(mq_notify(queues[0], &event), -1);
	zt_same(errno, EBUSY);
	says(netlink, NULL);
	zt_same(mq_receive(third, name, sizeof name, NULL), 5);
	zt_must(mq_send(third, "second", 6, 0));
	says(netlink, "what comes through the socket");
	tells(0);
	zt_must(mq_send(queues[1], "second", 6, 3));
	takes(1, "first");
	takes(1, "second");
	tells(1);
	ask(0); /* the C library goes on, too */
	tells(0);
	return zt_pass();
}
