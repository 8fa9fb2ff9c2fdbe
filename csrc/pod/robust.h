/* Robust futexes of a thread whose number is not the kernel's.
 *
 * The words of its locks hold its vtid, as the program wrote them. When it ends, the kernel looks
 * for its own number in them (kernel/futex/core.c, exit_robust_list) to mark them FUTEX_OWNER_DIED
 * and wake a waiter: so give it that number, at the last moment. What is a PI futex is marked by us. */
#pragma once
#include "tracee.h"

void zt_robust_hand_over(const zt_task *task);
