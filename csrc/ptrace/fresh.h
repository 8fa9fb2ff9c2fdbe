/* A program at its first instruction, at rest, before there is a stub in it. */
#pragma once
#include "stop.h"

/* The entry of this kind in the auxv on its stack: where it is (0: there is none), and its value. */
int zt_fresh_auxv(zt_stopped thread, uint64_t sp, uint64_t kind, uint64_t *ret, uint64_t *ret_value, zt_err *err);

/* One system call, by the instruction at `insn`. It stays in the stop at the call's end: set registers
 * before it runs on. */
int zt_fresh_call(zt_stopped thread, uint64_t insn, long nr, const uint64_t *args, int64_t *ret, zt_err *err);
