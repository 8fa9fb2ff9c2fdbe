/* What the processor says of itself to a program that asks it, and what it would say if it were one of
 * the levels of the x86-64 psABI and no more. */
#include <cpuid.h>
#include <elf.h>
#include <string.h>

#include "arch.h"

void zt_cpuid(uint32_t leaf, uint32_t subleaf, uint32_t *ret)
{
    __cpuid_count(leaf, subleaf, ret[0], ret[1], ret[2], ret[3]);
}

uint64_t zt_xcr0(void)
{
    uint32_t low, high, one[4];
    zt_cpuid(1, 0, one);
    if (!(one[2] & bit_OSXSAVE))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

/* --- a level */

const unsigned char zt_arch_cpuid_insn[ZT_ARCH_CPUID_BYTES] = {0x0f, 0xa2};

enum {
    ROOM_FOR_XSAVE = 0x3000,   /* what a program is told to leave for XSAVE: enough on any processor ... */
    ROOM_FOR_SIGNAL = 0x4000,  /* ... and for a signal's frame, in which the kernel saves all that it has */
    BASELINE_EDX = 0x178bfbff, /* of leaf 1: what every x86-64 processor has, and how many there are */
    LEVEL_2_ECX = bit_SSE3 | bit_SSSE3 | bit_CMPXCHG16B | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT,
    LEVEL_3_ECX = bit_FMA | bit_MOVBE | bit_XSAVE | bit_OSXSAVE | bit_AVX | bit_F16C,
    LEVEL_3_EBX7 = bit_BMI | bit_AVX2 | bit_BMI2,
    SAVED_BY_3 = 0x7,  /* x87, SSE, AVX */
    SAVED_BY_4 = 0xe7, /* and AVX-512 */
};
static const uint32_t HYPERVISOR_ECX = 1u << 31;
static const uint32_t LEVEL_4_EBX7 = bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL;
static const uint32_t EXTENDED = 0x80000000, EXTENDED_1_EDX = 1u << 11 | 1u << 20 | 1u << 26 | 1u << 29;

/* Leaves that say what one kind of instruction can do, which no level has. */
static bool is_of_a_feature(uint32_t leaf)
{
    switch (leaf) {
    case 0x12: /* SGX */
    case 0x14: /* Processor Trace */
    case 0x19: /* Key Locker */
    case 0x1d: /* AMX ... */
    case 0x1e:
    case 0x20:
    case 0x24: /* AVX10 */
    case 0x29: /* APX */
    case 0x8000000a:
    case 0x80000021:
        return true;
    default:
        return false;
    }
}

static void xsave_leaf(uint32_t subleaf, int level, uint32_t *four)
{
    const uint32_t saved = level < 3 ? 0 : level < 4 ? SAVED_BY_3 : SAVED_BY_4;
    if (subleaf == 0 && saved) {
        four[0] &= saved;
        four[1] = four[2] = ROOM_FOR_XSAVE;
        four[3] = 0;
    } else if (subleaf < 2 || subleaf >= 32 || !(saved >> subleaf & 1)) {
        memset(four, 0, 4 * sizeof *four);
    }
}

static void at_level(uint32_t leaf, uint32_t subleaf, int level, uint32_t *four)
{
    if (leaf == 1) {
        four[2] &= LEVEL_2_ECX | HYPERVISOR_ECX | (level >= 3 ? LEVEL_3_ECX : 0);
        four[3] &= BASELINE_EDX;
    } else if (leaf == 7) {
        const uint32_t ebx = subleaf ? 0 : (level >= 3 ? LEVEL_3_EBX7 : 0) | (level >= 4 ? LEVEL_4_EBX7 : 0);
        four[1] &= ebx;
        four[0] = four[2] = four[3] = 0;
    } else if (leaf == 0xd) {
        xsave_leaf(subleaf, level, four);
    } else if (leaf == EXTENDED + 1) {
        four[2] &= bit_LAHF_LM | (level >= 3 ? bit_ABM : 0);
        four[3] &= EXTENDED_1_EDX;
    } else if (leaf == EXTENDED + 8) {
        four[1] = 0;
    } else if (is_of_a_feature(leaf)) {
        memset(four, 0, 4 * sizeof *four);
    }
}

void zt_arch_answer_cpuid(zt_regs *regs, int level)
{
    const uint32_t leaf = (uint32_t)regs->rax, subleaf = (uint32_t)regs->rcx;
    uint32_t four[4];
    zt_cpuid(leaf, subleaf, four);
    at_level(leaf, subleaf, level, four);
    regs->rax = four[0];
    regs->rbx = four[1];
    regs->rcx = four[2];
    regs->rdx = four[3];
    regs->rip += ZT_ARCH_CPUID_BYTES;
}

uint64_t zt_arch_auxv_at_level(uint64_t kind, uint64_t value)
{
    if (kind == AT_HWCAP) /* leaf 1, edx */
        return value & BASELINE_EDX;
    if (kind == AT_HWCAP2)
        return 0;
    return value < ROOM_FOR_SIGNAL ? ROOM_FOR_SIGNAL : value; /* AT_MINSIGSTKSZ */
}
