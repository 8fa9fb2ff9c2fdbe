/* Programs whose file may be executed but not read.
 *
 * The kernel closes the memory of such a program to everybody, also to its tracer
 * (fs/exec.c, would_dump; kernel/ptrace.c, ptrace_access_vm), as if it had asked for it by
 * prctl(PR_SET_DUMPABLE, 0). Registers are open still, and so is the way back: it may itself ask
 * for PR_SET_DUMPABLE, 1. For that we need an instruction that enters the kernel, somewhere in
 * memory that we cannot see. So let the program run to its first system call, which shows one; have
 * it execute itself once more from there, before it has done anything that anybody else could
 * notice; and use the same instruction, at its new address, before the first of the program. */
#pragma once
#include "stop.h"

/* At rest at its first instruction: is its memory closed to us? */
bool zt_closed_is(zt_stopped thread);

/* Open it, and leave it at rest at its first instruction (or ended: *ret_rest). *ret_dumpable is what
 * the kernel had made of it, for the program to be told. -1: it cannot be opened, and has run. */
int zt_closed_open(zt_stopped thread, int32_t *ret_dumpable, zt_stop *ret_rest, zt_err *err);
