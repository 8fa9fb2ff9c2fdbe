/* How long a call waits, and since when. */
#pragma once
#include "../pod.h"

/* Is the call one that waits for a span of time, that the kernel would count anew? */
bool zt_has_span(const zt_row *row, const uint64_t *args);

/* Where the time that is left has to lie for the kernel: argument row->timeout.arg of `issued`. */
int zt_put_time_left(const zt_task *task, const zt_row *row, int64_t left_ns, uint64_t *issued, zt_err *err);
