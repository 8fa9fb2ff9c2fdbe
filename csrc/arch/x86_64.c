#include "arch.h"

#include <sys/syscall.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* The interpreter of syscall programs. Uses no stack and no memory but its rows:
 *   r12 the row, r13 the end of the rows, r14 the first row, ebx the row's flags.
 * Offsets are those of zt_program_row: nr 0, flags 4, args 8.., result 56; a row is 64 bytes. */
/* clang-format off */
#define RESOLVE(bit, reg)                                                                      \
    "    bt $" #bit ", %ebx\n    jnc 1f\n    shl $6, %" #reg "\n    mov 56(%r14,%" #reg "), %" #reg "\n1:\n"
__asm__(".section .rodata\n"
        ".globl zt_arch_stub_start, zt_arch_stub_end\n"
        ".hidden zt_arch_stub_start, zt_arch_stub_end\n"
        "zt_arch_stub_start:\n"
        "2:  cmp %r13, %r12\n"
        "    jae 9f\n"
        "    mov 4(%r12), %ebx\n"
        "    mov 8(%r12), %rdi\n"
        "    mov 16(%r12), %rsi\n"
        "    mov 24(%r12), %rdx\n"
        "    mov 32(%r12), %r10\n"
        "    mov 40(%r12), %r8\n"
        "    mov 48(%r12), %r9\n"
        "    test $63, %bl\n"
        "    jz 3f\n"
        RESOLVE(0, rdi) RESOLVE(1, rsi) RESOLVE(2, rdx) RESOLVE(3, r10) RESOLVE(4, r8) RESOLVE(5, r9)
        "3:  test $" TEXT(ZT_ROW_XRSTOR) ", %ebx\n"
        "    jnz 7f\n"
        "    mov (%r12), %eax\n"
        "    syscall\n"
        "5:  mov %rax, 56(%r12)\n"
        "    test $" TEXT(ZT_ROW_MUST) ", %ebx\n"
        "    jz 4f\n"
        "    cmp $-4095, %rax\n"
        "    jae 9f\n"
        "4:  add $64, %r12\n"
        "    jmp 2b\n"
        "7:  mov %esi, %eax\n"
        "    xrstor64 (%rdi)\n"
        "    xor %eax, %eax\n"
        "    jmp 5b\n"
        "9:  mov $" TEXT(ZT_STUB_END_NR) ", %eax\n"
        "    mov %r12, %rdi\n"
        "    syscall\n"
        "    ud2\n"
        "zt_arch_stub_end:\n"
        ".previous\n");
/* clang-format on */

const unsigned char zt_arch_syscall_insn[ZT_ARCH_SYSCALL_BYTES] = {0x0f, 0x05};

/* clang-format off */
const unsigned char zt_arch_first_call[ZT_ARCH_FIRST_CALL_BYTES] = {
    0xb8, SYS_mmap, 0, 0, 0, 0x0f, 0x05,                          /* mov $9, %eax; syscall */
    0x48, 0x89, 0xc3,                                             /* mov %rax, %rbx */
    0xbf, ZT_ARCH_GET_CPUID & 0xff, ZT_ARCH_GET_CPUID >> 8, 0, 0, /* mov $0x1011, %edi */
    0xb8, SYS_arch_prctl, 0, 0, 0, 0x0f, 0x05,                    /* mov $158, %eax; syscall */
    0x0f, 0x0b,                                                   /* ud2 */
};
/* clang-format on */

int64_t zt_arch_first_result(const zt_regs *regs)
{
    return (int64_t)regs->rbx;
}

const unsigned char zt_arch_clone3_call[ZT_ARCH_CLONE3_CALL_BYTES] = {0xb8, 435 & 0xff, 435 >> 8, 0, 0, 0x0f, 0x05};

long zt_arch_nr(enum zt_arch_nr which)
{
    /* clang-format off */
    static const long numbers[] = {
        [ZT_NR_MMAP] = SYS_mmap,
        [ZT_NR_MPROTECT] = SYS_mprotect,
        [ZT_NR_MREMAP] = SYS_mremap,
        [ZT_NR_CLONE] = SYS_clone,
        [ZT_NR_CLONE3] = 435,
        [ZT_NR_EXIT] = SYS_exit,
        [ZT_NR_ARCH_PRCTL] = SYS_arch_prctl,
        [ZT_NR_RT_SIGACTION] = SYS_rt_sigaction,
    };
    /* clang-format on */
    return numbers[which];
}

long zt_arch_call_nr(const zt_regs *regs)
{
    return (long)(int32_t)regs->orig_rax;
}

void zt_arch_set_call_nr(zt_regs *regs, long nr)
{
    regs->orig_rax = (uint64_t)nr;
}

void zt_arch_get_args(const zt_regs *regs, uint64_t *ret)
{
    const uint64_t args[6] = {regs->rdi, regs->rsi, regs->rdx, regs->r10, regs->r8, regs->r9};
    for (int i = 0; i < 6; i++)
        ret[i] = args[i];
}

void zt_arch_set_args(zt_regs *regs, const uint64_t *args)
{
    regs->rdi = args[0];
    regs->rsi = args[1];
    regs->rdx = args[2];
    regs->r10 = args[3];
    regs->r8 = args[4];
    regs->r9 = args[5];
}

int64_t zt_arch_result(const zt_regs *regs)
{
    return (int64_t)regs->rax;
}

void zt_arch_set_result(zt_regs *regs, int64_t result)
{
    regs->rax = (uint64_t)result;
}

void zt_arch_skip_call(zt_regs *regs)
{
    regs->orig_rax = (uint64_t)-1;
}

void zt_arch_rewind_call(zt_regs *regs, long nr)
{
    regs->rip -= ZT_ARCH_SYSCALL_BYTES;
    regs->rax = (uint64_t)nr;
    regs->orig_rax = (uint64_t)-1;
}

void zt_arch_leave_call(zt_regs *regs, int64_t result)
{
    regs->rip += ZT_ARCH_SYSCALL_BYTES;
    regs->rcx = regs->rip; /* as SYSCALL does */
    regs->r11 = regs->eflags;
    regs->rax = (uint64_t)result;
    regs->orig_rax = (uint64_t)-1;
}

void zt_arch_enter_program(zt_regs *regs, uint64_t address, uint64_t rows)
{
    regs->orig_rax = (uint64_t)-1; /* else the kernel would restart what was interrupted */
    regs->rip = ZT_STUB_INTERPRETER;
    regs->r12 = regs->r14 = address;
    regs->r13 = address + rows * sizeof(zt_program_row);
}

uint64_t zt_arch_program_stopped_at(const zt_regs *regs)
{
    return regs->rdi;
}

void zt_arch_enter_call(zt_regs *regs, uint64_t insn, long nr, const uint64_t *args)
{
    zt_arch_set_args(regs, args);
    regs->orig_rax = (uint64_t)-1;
    regs->rax = (uint64_t)nr;
    regs->rip = insn;
}
