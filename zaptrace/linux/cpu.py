"""What a program can see of the processor that it runs on: CPUID, XCR0, and what the auxv says.

The words of /proc/cpuinfo are the kernel's own, and another kernel has others for the same
processor. Only what an instruction of a program depends on counts here: not the features that a
kernel alone can use, nor hints, which do nothing on a processor without them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache

from ..errors import HostError
from ..log import log
from .native import ffi, lib
from .xstate import COMPONENTS, LEGACY_SIZE, Layout

EAX, EBX, ECX, EDX = range(4)
_AT_HWCAP2, _AT_MINSIGSTKSZ = 26, 51
_FSGSBASE = 1 << 1
_MINSIGSTKSZ = 2048
"""What stands for AT_MINSIGSTKSZ where the kernel, older than 5.14, does not tell."""
_EXTENDED = 0x80000000
_NEVER = "-"
"""Stands for a bit that no instruction of a program depends on."""

_WORDS: dict[tuple[int, int, int], str] = {
    (1, 0, ECX): "sse3@0 pclmulqdq@1 ssse3@9 fma@12 cx16@13 sse4_1@19 sse4_2@20 movbe@22 popcnt@23 "
    "aes@25 avx@28 f16c@29 rdrand@30",
    (1, 0, EDX): "fpu@0 tsc@4 cx8@8 cmov@15 clflush@19 mmx@23 fxsr@24 sse@25 sse2@26",
    (0xD, 1, EAX): "xsaveopt@0 xsavec@1 xgetbv1@2",
    (_EXTENDED + 1, 0, ECX): "lahf_lm@0 lzcnt@5 sse4a@6 xop@11 lwp@15 fma4@16 tbm@21 monitorx@29",
    (_EXTENDED + 1, 0, EDX): "mmxext@22 rdtscp@27 3dnowext@30 3dnow@31",
    (_EXTENDED + 8, 0, EBX): "clzero@0 rdpru@4",
}
"""Words that are full: a bit without a name is the kernel's."""

_GROWING: dict[tuple[int, int, int], tuple[str, tuple[int, ...]]] = {
    (7, 0, EBX): (
        "bmi1@3 avx2@5 bmi2@8 rtm@11 mpx@14 avx512f@16 avx512dq@17 rdseed@18 adx@19 avx512ifma@21 "
        "clflushopt@23 clwb@24 avx512pf@26 avx512er@27 avx512cd@28 sha_ni@29 avx512bw@30 "
        "avx512vl@31",
        (0, 1, 2, 4, 6, 7, 9, 10, 12, 13, 15, 20, 22, 25),
    ),
    (7, 0, ECX): (
        "avx512vbmi@1 ospke@4 waitpkg@5 avx512_vbmi2@6 gfni@8 vaes@9 vpclmulqdq@10 avx512_vnni@11 "
        "avx512_bitalg@12 avx512_vpopcntdq@14 rdpid@22 keylocker@23 movdiri@27 movdir64b@28 "
        "enqcmd@29",
        (0, 2, 3, 7, 13, 15, 16, 17, 18, 19, 20, 21, 24, 25, 26, 30, 31),
    ),
    (7, 0, EDX): (
        "avx512_4vnniw@2 avx512_4fmaps@3 uintr@5 avx512_vp2intersect@8 serialize@14 tsxldtrk@16 "
        "amx_bf16@22 avx512_fp16@23 amx_tile@24 amx_int8@25",
        (0, 1, 4, 6, 7, 9, 10, 11, 12, 13, 15, 17, 18, 19, 20, 21, 26, 27, 28, 29, 30, 31),
    ),
    (7, 1, EAX): (
        "sha512@0 sm3@1 sm4@2 rao_int@3 avx_vnni@4 avx512_bf16@5 cmpccxadd@7 amx_fp16@21 hreset@22 "
        "avx_ifma@23 movrs@31",
        (6, 8, 10, 11, 12, 17, 18, 19, 20, 26, 27, 30),
    ),
    (7, 1, EBX): ("", (0, 1, 3)),
    (7, 1, EDX): (
        "avx_vnni_int8@4 avx_ne_convert@5 amx_complex@8 avx_vnni_int16@10 user_msr@15 avx10@19 "
        "apx_f@21",
        (14, 17, 18, 23),
    ),
}
"""Words that processors to come will have more in: their names, and the bits that do not count. Any
other bit counts, by the name of its place."""


def _names(word: tuple[int, int, int]) -> dict[int, str]:
    text, never = _GROWING.get(word) or (_WORDS[word], tuple(range(32)))
    found = dict.fromkeys(never, _NEVER)
    for entry in text.split():
        name, _, bit = entry.partition("@")
        found[int(bit)] = name
    return found


_NAMES = {word: _names(word) for word in (*_WORDS, *_GROWING)}


def cpuid(leaf: int, subleaf: int = 0) -> tuple[int, int, int, int]:
    """eax, ebx, ecx and edx; zeros for a leaf that the processor does not have."""
    found = ffi.new("uint32_t[]", 4)
    lib.zt_cpuid(leaf & _EXTENDED, 0, found)
    if leaf > found[0]:
        return 0, 0, 0, 0
    lib.zt_cpuid(leaf, subleaf, found)
    return found[0], found[1], found[2], found[3]


def named(word: tuple[int, int, int], value: int) -> set[str]:
    """The features in the value of a word, which is (leaf, subleaf, register)."""
    found = set()
    for bit in range(32):
        if value >> bit & 1:
            leaf, subleaf, register = word
            place = f"cpuid.{leaf:x}.{subleaf}.{('eax', 'ebx', 'ecx', 'edx')[register]}.{bit}"
            found.add(_NAMES[word].get(bit, place))
    return found - {_NEVER}


@cache
def features() -> frozenset[str]:
    """What instructions of programs can depend on here, by the names that vendors give it."""
    found: set[str] = set()
    for leaf, subleaf, register in _NAMES:
        known = leaf != 7 or subleaf <= cpuid(7)[EAX]
        found |= named((leaf, subleaf, register), cpuid(leaf, subleaf)[register] if known else 0)
    for number in range(64):
        if lib.zt_xcr0() >> number & 1:
            found.add(f"xcr0.{COMPONENTS.get(number, number)}")
    if auxv(_AT_HWCAP2) & _FSGSBASE:
        found.add("fsgsbase")
    return frozenset(found)


@cache
def layout() -> Layout:
    """Where XSAVE puts what, in its standard format."""
    xcr0 = lib.zt_xcr0()
    if not xcr0:
        return Layout(LEGACY_SIZE, {})
    where = {}
    for number in range(2, 63):
        if xcr0 >> number & 1:
            size, offset, _, _ = cpuid(0xD, number)
            where[number] = (offset, size)
    return Layout(cpuid(0xD)[EBX], where)


def smallest_signal_stack() -> int:
    """Bytes that an alternate stack must have for the kernel to put a signal's frame there."""
    return auxv(_AT_MINSIGSTKSZ) or _MINSIGSTKSZ


def auxv(kind: int) -> int:
    """Of this process; 0: there is none of the kind."""
    get = ctypes.CDLL(None).getauxval
    get.restype, get.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    return int(get(kind))


# -- levels of the x86-64 psABI

_V2 = "cx16 lahf_lm popcnt sse3 sse4_1 sse4_2 ssse3"
_V3 = _V2 + " avx avx2 bmi1 bmi2 f16c fma lzcnt movbe xcr0.x87 xcr0.sse xcr0.avx"
_V4 = _V3 + (
    " avx512f avx512bw avx512cd avx512dq avx512vl xcr0.opmask xcr0.zmm_hi256 xcr0.hi16_zmm"
)
_BASELINE = "fpu tsc cx8 cmov clflush mmx fxsr sse sse2"
LEVELS = {n: frozenset(f"{_BASELINE} {more}".split()) for n, more in ((2, _V2), (3, _V3), (4, _V4))}
"""What each asks of a processor, by the N of x86-64-vN."""


def check_level(level: int) -> None:
    """Raise HostError when this processor is below a level, or there is no such level."""
    if level not in LEVELS:
        raise HostError(
            f"there is no level {level} of x86-64",
            needed=" or ".join(f"{known}" for known in LEVELS),
            found=f"{level}",
        )
    if missing := LEVELS[level] - features():
        raise HostError(
            f"this host's processor is not x86-64-v{level}",
            needed=" ".join(sorted(missing)),
            found="a processor, or a kernel, without them",
            remedy="choose a lower level",
        )


@cache
def has_faulting() -> bool:
    """Can CPUID be made a fault here (arch_prctl(2), ARCH_SET_CPUID)? Asked by leaving it as it is."""
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(_ARCH_PRCTL, _ARCH_SET_CPUID, 1)) == 0


_ARCH_PRCTL, _ARCH_SET_CPUID = 158, 0x1012


def without_faulting(level: int) -> str:
    """What people are to know of a pod with a level on a host that cannot hide the rest."""
    return (
        f"this processor has no CPUID faulting: glibc and Go are told to keep to "
        f"x86-64-v{level}, but a program that asks the processor itself sees all of it, and may "
        f"use what another host of this level lacks"
    )


BEGAN_WITHOUT = (
    "this pod began on a processor without CPUID faulting, and goes on without: a program that asks "
    "the processor itself sees all of it, and may use what another host of the pod's level lacks"
)


def keep_to(level: int, env: dict[str, str]) -> None:
    """For programs that begin with the environment `env`. HostError: there is less than the level."""
    check_level(level)
    if not has_faulting():
        log.warning("%s", without_faulting(level))
        env.update(advice(level, env))


_NOT_IN_3 = "AVX512F AVX512VL AVX512BW AVX512DQ AVX512CD AVX512ER AVX512PF"
_NOT_IN_2 = "AVX AVX2 FMA BMI1 BMI2 LZCNT MOVBE ERMS XSAVE XSAVEC " + _NOT_IN_3


_GO_NAMES = {
    2: ("avx", "avx2", "fma", "bmi1", "bmi2", "avx512f", "avx512bw", "avx512vl"),
    3: ("avx512f", "avx512bw", "avx512vl"),
    4: (),
}


def advice(level: int, env: Mapping[str, str]) -> dict[str, str]:
    """Variables that keep libraries to a level; what `env` says stays, and counts more."""
    hidden = {2: _NOT_IN_2, 3: _NOT_IN_3, 4: ""}[level].split()
    own = {"GODEBUG": ",".join(f"cpu.{name}=off" for name in _GO_NAMES[level])}
    if hidden:
        own["GLIBC_TUNABLES"] = "glibc.cpu.hwcaps=" + ",".join(f"-{name}" for name in hidden)
    found = {}
    for name, value in own.items():
        if value:
            separator = ":" if name == "GLIBC_TUNABLES" else ","
            before = value + separator if name in env else value
            found[name] = before + env.get(name, "")
    return found
