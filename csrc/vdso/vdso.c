/*
 * The pod's vDSO: the time functions of the host's own, plus the pod's clock offset.
 *
 * Programs take the address of these functions from the auxiliary vector and keep it for life, so it must
 * be the same on every host. The host's real vDSO has its own address on each, and the parameter block
 * (params.h) says where it is. With no offset a call costs one load, one test and one indirect jump more.
 *
 * System calls made here are not translated, as the text lies in the stub's range: they give the host's
 * time, and the offset is added here. A system call made by the host's vDSO (when its clock source cannot
 * be read in user mode) is one more reader of the host's clock, and must not be shifted by the tracer.
 *
 * Freestanding: no libc, no writable data, no relocation.
 */

#include "params.h"

#include <time.h>

/* Called from the entries, at the end. */
#define SERVES __attribute__((used))

#define NSEC_PER_SEC 1000000000L

/* Numbers of x86-64, the one architecture that is built. */
enum {
    NR_gettimeofday = 96,
    NR_time = 201,
    NR_clock_gettime = 228,
    NR_clock_getres = 229,
    NR_getcpu = 309,
};

struct timeval;
struct timezone;

typedef int (*clock_fn)(clockid_t, struct timespec *);
typedef int (*gettimeofday_fn)(struct timeval *, struct timezone *);
typedef time_t (*time_fn)(time_t *);
typedef int (*getcpu_fn)(unsigned *, unsigned *, void *);

/* volatile: the block changes between two calls, when the pod has moved. */
#define params ((const volatile struct zt_vdso_params *)ZT_VDSO_PARAMS)

/* The kernel's convention: a negative errno, as the vDSO's own functions give it. */
static inline long syscall3(long nr, long a, long b, long c)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
    return result;
}

/* The clocks that start with the host; csrc/syscalls.py has the same set (SHIFTED_CLOCKS). */
static inline int starts_with_host(clockid_t clock)
{
    const unsigned set = 1u << CLOCK_MONOTONIC | 1u << CLOCK_MONOTONIC_RAW | 1u << CLOCK_MONOTONIC_COARSE |
                         1u << CLOCK_BOOTTIME | 1u << CLOCK_BOOTTIME_ALARM;

    return (unsigned)clock < 32 && (set >> clock & 1);
}

static inline int host_clock_gettime(clockid_t clock, struct timespec *time)
{
    const clock_fn real = (clock_fn)params->clock_gettime;

    if (real)
        return real(clock, time);
    return syscall3(NR_clock_gettime, clock, (long)time, 0);
}

static inline void add(struct timespec *time, int64_t offset)
{
    long sec = time->tv_sec + offset / NSEC_PER_SEC;
    long nsec = time->tv_nsec + offset % NSEC_PER_SEC;
    if (nsec >= NSEC_PER_SEC) {
        nsec -= NSEC_PER_SEC;
        sec++;
    } else if (nsec < 0) {
        nsec += NSEC_PER_SEC;
        sec--;
    }
    time->tv_sec = sec;
    time->tv_nsec = nsec;
}

/* Apart from the common case, so that that needs no stack frame. A handler may interrupt this where nobody is
 * attached, and come back when the pod has another offset: then the time is read anew. */
static __attribute__((noinline)) int pod_clock_gettime(clockid_t clock, struct timespec *time)
{
    int64_t offset;

    do {
        offset = params->monotonic_offset_ns;
        const int result = host_clock_gettime(clock, time);
        if (result)
            return result;
        add(time, offset);
    } while (offset != params->monotonic_offset_ns);
    return 0;
}

SERVES int zt_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (__builtin_expect(((uint64_t)params->monotonic_offset_ns | params->pod_mark) != 0 && starts_with_host(clock), 0))
        return pod_clock_gettime(clock, time);
    return host_clock_gettime(clock, time);
}

SERVES int zt_clock_getres(clockid_t clock, struct timespec *resolution)
{
    const clock_fn real = (clock_fn)params->clock_getres;

    if (real)
        return real(clock, resolution);
    return syscall3(NR_clock_getres, clock, (long)resolution, 0);
}

SERVES int zt_gettimeofday(struct timeval *time, struct timezone *zone)
{
    const gettimeofday_fn real = (gettimeofday_fn)params->gettimeofday;

    if (real)
        return real(time, zone);
    return syscall3(NR_gettimeofday, (long)time, (long)zone, 0);
}

SERVES time_t zt_time(time_t *result)
{
    const time_fn real = (time_fn)params->time;

    if (real)
        return real(result);
    return syscall3(NR_time, (long)result, 0, 0);
}

SERVES int zt_getcpu(unsigned *cpu, unsigned *node, void *unused)
{
    const getcpu_fn real = (getcpu_fn)params->getcpu;

    if (real)
        return real(cpu, node, unused);
    return syscall3(NR_getcpu, (long)cpu, (long)node, (long)unused);
}

/*
 * Where programs enter. What they were told in one host they call in the next, under a zaptrace of another version
 * that another compiler has made: so these addresses are for ever, as the image's format is. The kernel's vDSO has
 * each under both names.
 */
#define ENTRY(offset, name)                                                                                            \
    ".org " #offset ", 0xcc\n"                                                                                         \
    ".globl __vdso_" #name "\n.type __vdso_" #name ", @function\n"                                                     \
    ".weak " #name "\n.type " #name ", @function\n"                                                                    \
    "__vdso_" #name ":\n" #name ":\n"                                                                                  \
    "jmp zt_" #name "\n"                                                                                               \
    ".size __vdso_" #name ", . - __vdso_" #name "\n.size " #name ", . - " #name "\n"

__asm__(".pushsection .entries, \"ax\", @progbits\n"
        ".cfi_startproc\n" /* clang-format off */
        ENTRY(0x00, clock_gettime)
        ENTRY(0x50, clock_getres)
        ENTRY(0x80, gettimeofday)
        ENTRY(0xa0, time)
        ENTRY(0xd0, getcpu) /* clang-format on */
        ".cfi_endproc\n"
        ".popsection");
