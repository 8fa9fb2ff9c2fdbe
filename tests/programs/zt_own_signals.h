/* Two threads with signals of their own, and epoll instances that watch signalfds of them. */
#pragma once
#include "zt_test.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>

enum { THREADS = 2 };

/* By which a thread is told to go, and tells that it has. */
static int go[THREADS][2], done[2];

static void add(int ep, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event event = {.events = events, .data.u64 = data};
	zt_must(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
}

static int watching(int fd, uint32_t events, uint64_t data)
{
	int ep = zt_must(epoll_create1(0));
	add(ep, fd, events, data);
	return ep;
}

/* It waits, blocked, for whom it is for. */
static int signalfd_of(int signal)
{
	sigset_t one;
	sigemptyset(&one);
	sigaddset(&one, signal);
	zt_must(sigprocmask(SIG_BLOCK, &one, NULL));
	return zt_must(signalfd(-1, &one, 0));
}

static void make_pipes(void)
{
	zt_must(pipe(done));
	for (int i = 0; i < THREADS; i++)
		zt_must(pipe(go[i]));
}

/* One after the other. */
static void let_each_go(const char *word)
{
	for (int i = 0; i < THREADS; i++) {
		zt_writes(go[i][1], word);
		zt_reads(done[0], "d");
	}
}
