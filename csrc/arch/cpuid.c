/* What the processor says of itself to a program that asks it. */
#include <cpuid.h>

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
