/* Processes and threads being made. The kernel tells of it twice, in any order: the maker stops in a
 * fork event, and the child in its first stop. A child runs only when both have been seen; its maker may
 * go on when its event has, unless something of the child is to be changed before it runs. */
#pragma once
#include "../pod/pod.h"
#include "onward.h"

/* The maker is in its fork event: register the child. *ret_child is the child's first stop, to be
 * handled as any (rtid 0: it was handled already, or comes later, as that of any thread we know). */
int zt_loop_forked(zt_pod *pod, zt_task *maker, bool vfork, zt_stop *ret_child, zt_onward *ret, zt_err *err);

/* Take in a newborn process that nobody will tell of, as its maker has died: true, and its first
 * stop; or false, there is none. */
bool zt_loop_has_orphan(zt_pod *pod);
bool zt_loop_adopt_orphan(zt_pod *pod, zt_stop *ret_child);
