/* What a descriptor is of, as far as that tells a call that was cut short from one that was done.
 *
 * What the file system knows is read from outside. What only the object knows (is this socket a
 * stream?) is asked by the thread itself, in a call of its own before it goes on: ZT_STEP_ASK. */
#pragma once
#include "../tracee.h"

enum {
    ZT_ASKED_STREAM = 1,
    ZT_ASKED_TTY = 2,
    ZT_ASKED_ERROR = 4,
};

/* Could the descriptor of this call be what row->part.on names, and does it block? Fills reissue.on with
 * all that it may be; what has to be asked is yet to come. */
bool zt_descriptor_may_be(zt_task *task, const zt_row *row, const uint64_t *args);

/* Something to ask? Then the reissue is made a ZT_STEP_ASK. */
bool zt_descriptor_ask(zt_task *task, const zt_row *row);

/* Is that the error of a socket whose call a signal has cut short? */
bool zt_descriptor_was_cut(int error);

/* Take in the answer. False: the call was not cut short, or cannot go on. */
bool zt_descriptor_answered(zt_task *task, const zt_row *row, int64_t result);
