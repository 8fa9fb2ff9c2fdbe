"""A small machine for classic BPF, as the kernel reads it, for the filters of csrc/gen_filter.py."""

from __future__ import annotations

import struct
import sys

from .world import ROOT

sys.path.insert(0, str(ROOT / "csrc"))
import gen_filter

U32 = 0xFFFF_FFFF

STUB_BASE = 0x7F12_3456_7000
STUB_TEXT_SIZE = 0x2000
STUB_SIZE = 0x4_0000
STUB_END_NR = 219  # restart_syscall
MACROS = {
    gen_filter.STUB_END_NR: STUB_END_NR,
    gen_filter.STUB_HIGH: STUB_BASE >> 32,
    gen_filter.STUB_FIRST: STUB_BASE & U32,
    gen_filter.STUB_SIZE: STUB_SIZE,
    gen_filter.STUB_LAST: (STUB_BASE + STUB_TEXT_SIZE - 1) & U32,
}


def seccomp_data(nr: int, arch: int, ip: int, args: list[int]) -> bytes:
    return struct.pack("<iIQ6Q", nr if nr < 2**31 else nr - 2**32, arch, ip, *args)


def run(program: list[gen_filter.Insn], data: bytes) -> tuple[int, set[int]]:
    """The verdict, and the offsets of `data` that were looked at."""
    accumulator, at, seen = 0, 0, set()
    while True:
        code, jt, jf, k = program[at]
        k = MACROS.get(k, k)
        at += 1
        match code:
            case 0x20:  # ld [k]
                assert k % 4 == 0
                assert k < 64
                seen.add(k)
                accumulator = int.from_bytes(data[k : k + 4], "little")
            case 0x06:
                return k, seen
            case 0x05:
                at += k
            case 0x15:
                at += jt if accumulator == k else jf
            case 0x25:
                at += jt if accumulator > k else jf
            case 0x35:
                at += jt if accumulator >= k else jf
            case 0x45:
                at += jt if accumulator & k else jf
            case _:
                raise AssertionError(f"an instruction that seccomp does not allow: {code:#x}")
