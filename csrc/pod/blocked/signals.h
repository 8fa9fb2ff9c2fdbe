/* Signals as a reason for a call to end early. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

/* Is one pending that the thread would take now, and that means something to it? Then what a call
 * shows of being interrupted is the program's own. */
bool zt_signal_waits(int32_t rtid);

/* Is one pending for its process that the thread would take now, and that does nothing? */
bool zt_signal_waits_for_nothing(int32_t rtid);

/* Does it neither run a handler nor anything by default? A thread that nobody traces would not even
 * wake for it (kernel/signal.c, sig_ignored). */
bool zt_signal_does_nothing(int32_t rtid, int signal);
/* Is it about to get one, whatever that does? */
bool zt_signal_is_next(int32_t rtid);
