/* Processes whose end somebody outside waits for, those that joined a pod: rtid -> fd of a pipe. */
#pragma once
#include "../base/intmap.h"

/* That thread has ended: who waits for it is told the wait status, as an int in the pipe. */
void zt_awaited_tell(zt_intmap *awaited, int32_t rtid, int wait_status);
/* Nobody is told any more. */
void zt_awaited_destroy(zt_intmap *awaited);
