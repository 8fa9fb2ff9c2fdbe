/* Is the stub of a process still what was laid there? A program may unmap, protect or overwrite
 * anything in its memory (valgrind unmaps the mapping in which it finds the vDSO). */
#pragma once
#include "stub.h"

/* Look at the stub of a thread at rest, and lay anew what is missing or closed of it, without
 * destroying anything that is not ours. Our vDSO may be gone: that is the program's to decide.
 * ZT_ERR_FOREIGN: what lies there is not ours, or nothing could be laid; the text says what, and
 * nothing has been changed that a program of ours would not lay again. */
int zt_whole_make(zt_stopped thread, const zt_host_vdso *host, int64_t clock_offset_ns, zt_err *err);
/* Only look at its code: ZT_ERR_FOREIGN when it is not ours any more. */
int zt_whole_look(zt_stopped thread, zt_err *err);
