/* Priority-inheritance futexes of restored pods.
 *
 * The word of such a futex holds its owner's number, which the kernel compares with its own numbers of
 * threads; in a restored pod they are others. So the kernel is not asked: who waits, waits in a call
 * that stands in for its own (resources/thread.c), and the tracer, which sees one call at a time, hands
 * the futex over.
 *
 * Words are read and written from outside, with no atomic operation, while threads in user mode do
 * theirs. What makes that right: in user mode a word changes only from 0 to a number, and by its owner
 * from its number to 0. Neither can succeed where FUTEX_WAITERS is set, or FUTEX_OWNER_DIED without a
 * number. So a word is written
 *  - by a lock: when FUTEX_WAITERS was set in it by an atomic operation of the thread's own, and still is;
 *  - by an unlock of its owner: what another thread sets meanwhile may be lost; that one sees that, and
 *    begins anew.
 * Bytes are written upwards, and FUTEX_WAITERS is in the last: no word half written looks like another.
 *
 * As the kernel does: the waiter of the highest real-time priority comes first, then who came first;
 * a futex is handed over with FUTEX_WAITERS set; one whose owner dies, with FUTEX_OWNER_DIED; who would
 * wait for himself gets EDEADLK. Not done: the owner does not get the priority of who waits for it. */
#pragma once
#include <linux/futex.h>

#include "pod.h"

/* Which futex is at `address`; `private`: the program says that it is of no one else's. */
zt_futex_key zt_pi_key(const zt_task *task, uint64_t address, bool private);
bool zt_pi_same(const zt_futex_key *one, const zt_futex_key *other);

/* The thread of the pod that a word names, or NULL. */
zt_task *zt_pi_owner(zt_pod *pod, uint32_t word);

/* Would it wait for itself, if it waited for `owner`? */
bool zt_pi_is_deadlock(zt_pod *pod, const zt_task *task, zt_task *owner);

/* From now on it waits for the futex `key`, whose word is at `word`. */
void zt_pi_wait_for(zt_pod *pod, zt_task *task, zt_pi_wait wait, zt_futex_key key, uint64_t word);

/* Who is to have it next, or NULL: nobody waits. */
zt_task *zt_pi_next(zt_pod *pod, const zt_futex_key *key);
/* A waiter becomes the owner, and is told. False: its memory is gone, and it tries anew. */
bool zt_pi_grant(zt_task *waiter, uint32_t more_bits);
/* Into the word of a futex, in the memory of a thread. */
bool zt_pi_write(const zt_task *task, uint64_t word, uint32_t value);

/* A thread ends, or executes a program: the futexes that it owns are handed over. */
void zt_pi_owner_gone(zt_pod *pod, zt_task *gone);
