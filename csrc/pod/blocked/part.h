/* What a call that was cut short had moved, and the call that moves the rest.
 *
 * Its result says how much is done: bytes, messages or events. All else is found anew from that, the
 * program's arguments and its memory, so a call can be cut again and again, and carried in an image. */
#pragma once
#include "../pod.h"

/* Do the registers show a call that gave back less than it was asked for, where it would have waited? */
bool zt_part_was_cut(zt_task *task, const zt_regs *regs);

/* Was nothing taken out by it, so that it can be made again as it is? */
bool zt_part_only_looked(const zt_row *row, const uint64_t *args);

/* Make the reissue the call for the next piece, or for all the rest. False: nothing is left to do. */
bool zt_part_next(zt_task *task, const zt_row *row);

/* Take in what that call answered. False: it is the end, as more would not have come natively. */
bool zt_part_moved(zt_task *task, const zt_row *row, int64_t result);

/* While it waits: the size of the control buffer that a recvmsg has, + 1; the kernel will write over
 * it. 0: no such call, or not to be read. */
int64_t zt_part_control_size(const zt_task *task, const zt_row *row, const uint64_t *args);
