/* What the rest may ask about the processor architecture, and where the stub region lies. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

#include "../api.h"

/* The stub region: the same fixed range in every process of every pod, so that an image never
 * has to move it. Programs have ideas of their own about addresses: it is application memory for
 * ThreadSanitizer (from 0x7e8000000000), MemorySanitizer (from 0x700000000000) and AddressSanitizer, and
 * below where the kernel's top-down mmap area begins (at the least 0x7ef000000000, with the 28 random
 * bits of most kernels; with 32 it is inside, and met by chance once in two million times). Go's
 * arenas, V8's cages, Java's heaps, valgrind's client and wine's reserved ranges are elsewhere.
 *
 *   text     our vDSO, params, interpreter: calls from here pass the filter untouched. The three are
 *            mappings of their own, for a program may unmap what it was told is its vDSO (valgrind).
 *   params   what our vDSO needs to know of this host
 *   host     the host's own vvar and vDSO, moved here at exec; the rest of it is closed
 *   data     rows and data of the program that is running
 *   scratch  one slot per thread, for arguments that the tracer rewrites
 */
#define ZT_STUB_BASE 0x7e9000000000
#define ZT_STUB_TEXT_SIZE 0x8000
#define ZT_STUB_VDSO (ZT_STUB_BASE + 0x1000)
#define ZT_VDSO_PARAMS 0x7e9000004000ULL /* ZT_STUB_BASE + 0x4000, in full: build.py reads it here */
#define ZT_STUB_INTERPRETER (ZT_STUB_BASE + 0x6000)
#define ZT_STUB_ISSUED (ZT_STUB_BASE + 0x8000) /* no code: shown for calls that we issue, pod/seccomp.h */
#define ZT_STUB_HOST (ZT_STUB_BASE + 0x8000)
#define ZT_STUB_HOST_SIZE 0x38000
#define ZT_STUB_DATA (ZT_STUB_BASE + 0x40000)
#define ZT_STUB_DATA_SIZE 0x200000
#define ZT_STUB_SCRATCH (ZT_STUB_DATA + ZT_STUB_DATA_SIZE)
#define ZT_STUB_SCRATCH_SLOT 256  /* for what a hook rewrites ... */
#define ZT_STUB_SCRATCH_AGAIN 320 /* ... and behind it, for a call that is made again */
#define ZT_STUB_SCRATCH_SLOTS 4096
#define ZT_STUB_LIMIT (ZT_STUB_SCRATCH + (ZT_STUB_SCRATCH_SLOT + ZT_STUB_SCRATCH_AGAIN) * ZT_STUB_SCRATCH_SLOTS)

/* The call by which the stub says that its program has ended: at the stub's address it is trapped.
 * restart_syscall(2) is one that no program makes by itself, and that no outer filter denies, as a
 * container's does with numbers that no kernel has. */
#define ZT_STUB_END_NR 219

/* Calls that the tracer has to know by number. */
enum zt_arch_nr {
    ZT_NR_MMAP,
    ZT_NR_MPROTECT,
    ZT_NR_MREMAP,
    ZT_NR_CLONE,
    ZT_NR_CLONE3,
    ZT_NR_EXIT,
    ZT_NR_ARCH_PRCTL,
    ZT_NR_RT_SIGACTION,
};
long zt_arch_nr(enum zt_arch_nr which);

/* The interpreter's code. */
extern const unsigned char zt_arch_stub_start[];
extern const unsigned char zt_arch_stub_end[];

/* The bytes of the instruction that enters the kernel, to be found in the host's vDSO. */
#define ZT_ARCH_SYSCALL_BYTES 2
extern const unsigned char zt_arch_syscall_insn[ZT_ARCH_SYSCALL_BYTES];

/* One call, and then one that every filter of ours traps, whoever makes it, and that no filter of a program
 * denies to the next one, which needs it to begin; and what the first one gave. */
#define ZT_ARCH_FIRST_CALL_BYTES 24
extern const unsigned char zt_arch_first_call[ZT_ARCH_FIRST_CALL_BYTES];
int64_t zt_arch_first_result(const zt_regs *regs);

/* How a C library's wrapper makes clone3: the number, and the instruction. */
#define ZT_ARCH_CLONE3_CALL_BYTES 7
extern const unsigned char zt_arch_clone3_call[ZT_ARCH_CLONE3_CALL_BYTES];

/* Registers, by role. */
static inline bool zt_arch_in_stub(const zt_regs *regs) /* in the interpreter or our vDSO */
{
    return regs->rip >= ZT_STUB_BASE && regs->rip < ZT_STUB_BASE + ZT_STUB_TEXT_SIZE;
}
long zt_arch_call_nr(const zt_regs *regs); /* -1: not in a system call */
void zt_arch_set_call_nr(zt_regs *regs, long nr);
void zt_arch_get_args(const zt_regs *regs, uint64_t *ret);
void zt_arch_set_args(zt_regs *regs, const uint64_t *args);
int64_t zt_arch_result(const zt_regs *regs);
void zt_arch_set_result(zt_regs *regs, int64_t result);

/* Stopped on the way in: skip the call, and have it return what set_result says. */
void zt_arch_skip_call(zt_regs *regs);
/* Go back to just before the call `nr`, as if it had not been made yet. */
void zt_arch_rewind_call(zt_regs *regs, long nr);

/* Just before a call, as rewind_call leaves it: go on behind it, as if it had been made. */
void zt_arch_leave_call(zt_regs *regs, int64_t result);

/* Start of the interpreter, with `rows` rows at `address`. */
void zt_arch_enter_program(zt_regs *regs, uint64_t address, uint64_t rows);
/* At the interpreter's last call: the address of the row that it stopped at. */
uint64_t zt_arch_program_stopped_at(const zt_regs *regs);
/* One system call, by the instruction at `insn`. */
void zt_arch_enter_call(zt_regs *regs, uint64_t insn, long nr, const uint64_t *args);

/* The processor as a program sees it at a level of the psABI (2, 3, 4). */
#define ZT_ARCH_SET_CPUID 0x1012 /* arch_prctl(2): with 0, CPUID is a fault */
#define ZT_ARCH_GET_CPUID 0x1011
#define ZT_AT_MINSIGSTKSZ 51
#define ZT_ARCH_CPUID_BYTES 2
extern const unsigned char zt_arch_cpuid_insn[ZT_ARCH_CPUID_BYTES];
/* At the instruction: as if it had been executed. */
void zt_arch_answer_cpuid(zt_regs *regs, int level);
uint64_t zt_arch_auxv_at_level(uint64_t kind, uint64_t value); /* AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ */
