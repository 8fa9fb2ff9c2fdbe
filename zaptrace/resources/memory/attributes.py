"""What the kernel keeps of memory beside its bytes: advice, locks, seals, keys, segments, layout.

Of a mapping: the advice given by madvise(2), mlock(2) and mlock2(2), mseal(2), its protection key,
its name. Of an address space: whether new mappings are locked (mlockall(2)), the keys that are
allocated (pkey_alloc(2)), the local descriptor table (modify_ldt(2)), the limits of code, data, heap,
stack, arguments and environment, and the auxiliary vector.
"""

from __future__ import annotations

import ctypes
import resource
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from ...linux import procfs
from ...linux.native import lib
from ...linux.program import Program, Row, give_back
from ...shapes import U64, Address, Among, Length, Multiple, OneOf, Range, Word
from ...view.frozen import FrozenProcess
from ..common.limit import limit_of
from .mappings import PAGE, PROT_EXEC, PROT_READ, PROT_WRITE, Mapping, protection

_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
_PR_SET_VMA, _PR_SET_VMA_ANON_NAME = 0x53564D41, 0
_GONE = -1
_MAP_ANONYMOUS = 0x20
_MAP_OF_STUB = 0x2 | 0x10 | 0x20 | 0x4000  # private, fixed, anonymous, not reserved
_MADV_DONTNEED, _MADV_GUARD_INSTALL, _MADV_GUARD_REMOVE = 4, 102, 103
_MLOCK_ONFAULT = 1
_MCL_FUTURE, _MCL_ONFAULT = 2, 4
_CAP_IPC_LOCK = 14
_EAGAIN, _EINVAL, _ENOMEM = 11, 22, 12

_BEFORE = {"hg": 14, "nh": 15}
"""VmFlags -> the madvise(2) value, given before the bytes come: they may come in huge pages."""
_ADVICE = {"sr": 2, "rr": 1, "dc": 10, "mg": 12, "dd": 16, "wf": 18}
_MAY_LACK = {"mg", "hg", "nh"}
"""Kernels without KSM or huge pages do not know these, and a program sees no difference."""
_DROPPABLE_IS = {"dd", "wf"}
KEPT = {*_BEFORE, *_ADVICE, "mw", "gd", "nr", "dp", "ac", "lo", "lf", "sl", "gu"}
"""The VmFlags that an image has; the others follow from what is mapped, and how."""

_KEYS = range(1, 16)
_LDT_ENTRIES = 8192

# Fields of /proc/PID/stat that PR_SET_MM_MAP wants, by their number in proc(5).
_STAT_FIRST = 3
_STAT = {"start_code": 26, "end_code": 27, "start_stack": 28, "start_data": 45, "end_data": 46}
_STAT |= {"start_brk": 47, "arg_start": 48, "arg_end": 49, "env_start": 50, "env_end": 51}


@dataclass(frozen=True)
class Attributes:
    """Of an address space."""

    layout: Annotated[dict[Word, U64], Among(*_STAT, "brk")]
    auxv: Annotated[bytes, Length(0, 4096), Multiple(16)]
    lock_future: Annotated[int, Range(0, 7)]  # flags of mlockall(2) for new mappings, or 0
    keys: Annotated[
        list[Annotated[int, OneOf(*_KEYS)]], Length(0, len(_KEYS))
    ]  # protection keys that are allocated
    ldt: Annotated[
        bytes, Length(0, 8 * _LDT_ENTRIES), Multiple(8)
    ]  # the table, without empty entries at its end
    vdso: list[Undone]


@dataclass(frozen=True)
class Undone:
    """Of the vDSO that it was given: what a program has unmapped (protection -1) or protected."""

    start: Address
    end: Address
    protection: Annotated[int, Range(-1, 7)]


# -- capture


def capture(process: FrozenProcess) -> Attributes:
    fields = procfs.stat_fields(f"{process.proc}/stat")
    layout = {name: int(fields[number - _STAT_FIRST]) for name, number in _STAT.items()}
    with open(f"{process.proc}/auxv", "rb") as file:
        auxv = file.read()
    program = Program()
    brk = program.call("brk", 0)
    # At an address where nothing is, a key that is allocated fails later than one that is not.
    keys = [(key, program.call("pkey_mprotect", 0, PAGE, 0, key, may_fail=True)) for key in _KEYS]
    ldt = program.buffer(8)
    has_ldt = program.call("modify_ldt", 0, ldt, 8, may_fail=True)
    locks = _ask_for_locks(program, process)
    results = process.run(program)
    layout["brk"] = results[brk]
    return Attributes(
        layout=layout,
        auxv=auxv,
        lock_future=_how_locked(process) if locks is None or results[locks] == -_EAGAIN else 0,
        keys=[key for key, row in keys if results[row] == -_ENOMEM],
        ldt=_ldt(process) if results[has_ldt] > 0 else b"",
        vdso=[*_undone_vdso(process), *_undone_host(process)],
    )


def _undone_vdso(process: FrozenProcess) -> Iterator[Undone]:
    at, end = lib.zt_stub_start(), lib.zt_stub_vdso_end()
    for m in process.stub_maps:
        if at < min(m.start, end):
            yield Undone(at, min(m.start, end), _GONE)
        if m.start < end and protection(m) != PROT_READ | PROT_EXEC:
            yield Undone(m.start, m.end, protection(m))
        at = m.end
    if at < end:
        yield Undone(at, end, _GONE)


def _undone_host(process: FrozenProcess) -> Iterator[Undone]:
    """All of it, for which part of it is where is another on each host."""
    start, end = lib.zt_stub_host(), lib.zt_stub_data(0)
    there = [m for m in process.stub_maps if start <= m.start < end]
    if not there:
        yield Undone(start, end, _GONE)
    elif not any(map(protection, there)):
        yield Undone(start, end, 0)


def _ask_for_locks(program: Program, process: FrozenProcess) -> Row | None:
    """A call that fails by EAGAIN when new mappings are to be locked, and else later: with no lock
    allowed, a mapping of no kind. None: the process may lock what it likes."""
    if int(process.status["CapEff"], 16) >> _CAP_IPC_LOCK & 1:
        return None
    limits = limit_of(process, resource.RLIMIT_MEMLOCK)
    raw = [value & 0xFFFFFFFFFFFFFFFF for value in limits]
    none, old = program.data(struct.pack("<QQ", 0, raw[1])), program.data(struct.pack("<QQ", *raw))
    program.call("prlimit64", 0, resource.RLIMIT_MEMLOCK, none, 0)
    row = program.call("mmap", 0, PAGE, 0, _MAP_ANONYMOUS, -1, 0, may_fail=True)
    program.call("prlimit64", 0, resource.RLIMIT_MEMLOCK, old, 0)
    return row


def _how_locked(process: FrozenProcess) -> int:
    """By a page that is made (one of the stub's, anew, so that there are not more of them): locked
    it cannot be dropped, and is there unless it is to be locked at its first use."""
    page, access = lib.zt_stub_end() - PAGE, PROT_READ | PROT_WRITE
    program = Program()
    made = program.call("mmap", page, PAGE, access, _MAP_OF_STUB, -1, 0, may_fail=True)
    drop = program.call("madvise", page, PAGE, _MADV_DONTNEED, may_fail=True)
    vector = program.buffer(1)
    program.call("mincore", page, PAGE, vector)
    program.call("munlock", page, PAGE)
    results = process.run(program)
    if results[made] == -_EAGAIN:
        return _MCL_FUTURE
    if results[made] < 0 or results[drop] != -_EINVAL:
        return 0
    return _MCL_FUTURE | (0 if results.bytes(vector)[0] & 1 else _MCL_ONFAULT)


def _ldt(process: FrozenProcess) -> bytes:
    program = Program()
    table = program.buffer(_LDT_ENTRIES * 8)
    program.call("modify_ldt", 0, table, table.size)
    raw = process.run(program).bytes(table)
    program = Program()
    give_back(program)
    process.run(program)
    used = len(raw.rstrip(b"\0"))
    return raw[: -(-used // 8) * 8]


# -- restore


def before_contents(program: Program, m: Mapping, start: int, end: int) -> None:
    """For a part of `m`, or what is to become one."""
    for flag, advice in _BEFORE.items():
        if m.has(flag):
            program.call("madvise", start, end - start, advice, may_fail=True)


def guarded_once(program: Program, m: Mapping, start: int) -> None:
    """A mapping that had guard pages, and has none any more, is marked for ever. Whatever is in it
    comes later."""
    if m.has("gu"):
        for advice in (_MADV_GUARD_INSTALL, _MADV_GUARD_REMOVE):
            program.call("madvise", start, PAGE, advice, may_fail=True)


def after_contents(program: Program, m: Mapping, guards: list[tuple[int, int]]) -> None:
    size = m.end - m.start
    for flag, advice in _ADVICE.items():
        if m.has(flag) and not (m.has("dp") and flag in _DROPPABLE_IS):
            program.call("madvise", m.start, size, advice, may_fail=flag in _MAY_LACK)
    for start, end in guards:
        program.call("madvise", start, end - start, _MADV_GUARD_INSTALL)
    if m.name:
        name = program.string(m.name)
        program.call(
            "prctl", _PR_SET_VMA, _PR_SET_VMA_ANON_NAME, m.start, size, name, may_fail=True
        )


def lock(program: Program, m: Mapping) -> None:
    """Last: what is locked cannot be dropped, nor have new guard pages."""
    size = m.end - m.start
    if m.has("lo"):
        # Locked on use, which only the limit can refuse; then with all pages, of which some may be
        # without permission or behind the end of a file.
        program.call("mlock2", m.start, size, _MLOCK_ONFAULT)
        if not m.has("lf"):
            program.call("mlock", m.start, size, may_fail=True)


def undo_vdso(program: Program, undone: list[Undone]) -> None:
    """When we need it no more. An image cannot reach the rest of the stub by it."""
    ranges = [
        (lib.zt_stub_start(), lib.zt_stub_vdso_end()),
        (lib.zt_stub_host(), lib.zt_stub_data(0)),
    ]
    for one in undone:
        for first, last in ranges:
            start, end = max(one.start, first), min(one.end, last)
            if start < end and one.protection == _GONE:
                program.call("munmap", start, end - start)
            elif start < end:
                program.call("mprotect", start, end - start, one.protection)


def seal(program: Program, mappings: list[Mapping]) -> None:
    """When nothing else is to be done to them."""
    for m in mappings:
        if m.has("sl"):
            program.call("mseal", m.start, m.end - m.start, 0)


class Keys:
    """Protection keys: those of the process are allocated, and no other.

    The kernel gives out the lowest that is free, also to memory that can be executed and nothing
    else; so all are taken, and that one is free when its time comes. A key may be on a mapping
    though it was given back.
    """

    def __init__(self, program: Program, keys: list[int], mappings: list[Mapping]) -> None:
        self._program = program
        self._allocated = set(keys)
        used = {m.key for m in mappings if m.key}
        of_kernel = {m.key for m in mappings if m.key and m.protection == PROT_EXEC}
        self._of_kernel = of_kernel - self._allocated
        self._any = bool(used or keys)
        if self._any:
            for _ in _KEYS:
                program.call("pkey_alloc", 0, 0)
            for key in self._of_kernel:
                program.call("pkey_free", key)

    def protect(self, m: Mapping) -> None:
        if m.key and m.key not in self._of_kernel:
            self._program.call("pkey_mprotect", m.start, m.end - m.start, m.protection, m.key)

    def finish(self) -> None:
        if self._any:
            for key in set(_KEYS) - self._allocated - self._of_kernel:
                self._program.call("pkey_free", key)


class _MmMap(ctypes.Structure):
    """struct prctl_mm_map, include/uapi/linux/prctl.h"""

    _fields_ = [
        *((name, ctypes.c_uint64) for name in ("start_code", "end_code", "start_data", "end_data")),
        *((name, ctypes.c_uint64) for name in ("start_brk", "brk", "start_stack")),
        *((name, ctypes.c_uint64) for name in ("arg_start", "arg_end", "env_start", "env_end")),
        ("auxv", ctypes.c_uint64),
        ("auxv_size", ctypes.c_uint32),
        ("exe_fd", ctypes.c_int32),
    ]


def load(program: Program, of: Attributes) -> None:
    """What is of the whole address space, when everything is mapped."""
    auxv = program.data(of.auxv)
    layout = _MmMap(**of.layout, auxv_size=len(of.auxv), exe_fd=-1)
    map_ = program.pointer(bytes(layout), {_MmMap.auxv.offset: auxv})
    program.call("prctl", _PR_SET_MM, _PR_SET_MM_MAP, map_, len(bytes(layout)), 0)
    for number in range(0, len(of.ldt), 8):
        if entry := _user_desc(number // 8, of.ldt[number : number + 8]):
            program.call("modify_ldt", 0x11, program.data(entry), len(entry))
    if of.lock_future:
        program.call("mlockall", of.lock_future)


def _user_desc(number: int, descriptor: bytes) -> bytes:
    """struct user_desc (asm/ldt.h) for an entry as the processor has it; empty for none."""
    low, high = struct.unpack("<II", descriptor)
    if not low and not high:
        return b""
    base = low >> 16 | (high & 0xFF) << 16 | high & 0xFF000000
    limit = low & 0xFFFF | high & 0xF0000
    kind = high >> 8 & 0xF
    bits = (
        high >> 22 & 1  # seg_32bit
        | (kind >> 2 & 3) << 1  # contents
        | (~kind >> 1 & 1) << 3  # read_exec_only
        | (high >> 23 & 1) << 4  # limit_in_pages
        | (~high >> 15 & 1) << 5  # seg_not_present
        | (high >> 20 & 1) << 6  # useable
        | (high >> 21 & 1) << 7  # lm
    )
    return struct.pack("<IIII", number, base, limit, bits)
