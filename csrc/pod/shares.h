/* Who shares what (struct zt_shares) in a pod where nobody was told by births: the kernel compares, kcmp(2). */
#pragma once
#include "pod.h"

/* Can it be asked here? */
bool zt_shares_are_told(void);
bool zt_shares_memory(const zt_task *one, const zt_task *other);
/* Of all threads, which are at rest. */
int zt_shares_learn(zt_pod *pod, zt_err *err);
