"""What a thread has set for itself, or for its whole process, and can be asked for again.

Each is a pair of calls, one that tells and one that sets (prctl(2), arch_prctl(2), ioprio_set(2),
set_mempolicy(2), personality(2), membarrier(2)); both are rows of the thread's own programs. What a
thread never set is as a new thread has it, and costs no row at the restore. A kernel or processor that
does not know one answers an error, which is that of a thread that never set it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Annotated

from ...linux.program import Data, Program, Results, Row
from ...shapes import I32, I64, U16, U32, Among, Length, Multiple, NoNul, Signal, Word
from ..common.privilege import beginning

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_SET_NAME, _PR_GET_NAME = 15, 16
_NAME_SIZE = 16
_IOPRIO_WHO_PROCESS = 1
_CLASS_SHIFT = 13
"""Of an I/O priority; class 0 means that none was set."""
_PR_SPEC_PRCTL, _PR_SPEC_ENABLE, _PR_SPEC_DISABLE = 1, 2, 4
_NODES = 1024
"""Bits of a node mask, as many as any kernel of this architecture has (CONFIG_NODES_SHIFT)."""
_MEMBARRIER_GET_REGISTRATIONS = 1 << 9  # since 6.3
_REGISTRATIONS = (1 << 2, 1 << 4, 1 << 6, 1 << 8)
"""The commands of membarrier(2) that register a process, which is asked for them as a mask."""

_Pair = tuple[str, tuple[int, ...], tuple[int, ...]]
"""A system call, its arguments that tell, and those that set, before the value."""

_OWN: dict[str, _Pair] = {
    "timer slack": ("prctl", (30,), (29,)),
    "personality": ("personality", (0xFFFFFFFF,), ()),
    "keep capabilities": ("prctl", (7,), (8,)),
    "securebits": ("prctl", (27,), (28,)),
    "machine check policy": ("prctl", (34, 0, 0, 0, 0), (33, 1)),
    "cpuid faulting": ("arch_prctl", (0x1011, 0), (0x1012,)),
    "store bypass": ("prctl", (52, 0, 0, 0, 0), (53, 0)),
    "indirect branch": ("prctl", (52, 1, 0, 0, 0), (53, 1)),
    "cache flush": ("prctl", (52, 2, 0, 0, 0), (53, 2)),
}
"""Of each thread; the answer is the value."""

_SHARED: dict[str, _Pair] = {
    "transparent huge pages": ("prctl", (42, 0, 0, 0, 0), (41,)),
    "memory merge": ("prctl", (68, 0, 0, 0, 0), (67,)),
    "memory deny write execute": ("prctl", (66, 0, 0, 0, 0), (65,)),
}
"""Of the memory that all threads of a process share: its first living thread is asked, and sets it."""

_TSC = (25, 26)  # PR_GET_TSC, PR_SET_TSC
_XCOMP = (0x1022, 0x1023)  # ARCH_GET_XCOMP_PERM, ARCH_REQ_XCOMP_PERM
TILE_DATA = 18
"""The one extended feature that a process has to ask for: Intel AMX's."""


@dataclass(frozen=True)
class Attributes:
    name: Annotated[bytes, Length(0, _NAME_SIZE - 1), NoNul()]
    """As PR_GET_NAME tells it, up to its NUL: any bytes."""
    values: Annotated[dict[Word, I64], Among(*_OWN, *_SHARED, "tsc")]
    """Of `_OWN`, and for the first living thread of `_SHARED`; only what is not as it begins."""
    io_priority: U16
    memory_policy: I32
    memory_nodes: Annotated[bytes, Length(0, _NODES // 8), Multiple(_NODES // 8)]
    membarrier: U32
    """What the process registered for; all of it where the kernel does not tell."""
    xcomp: I32
    death_signal: Signal
    """Of a thread that is not its process's first; that one's is the process's."""


class Asked:
    """The rows that ask a thread, in a program of its own."""

    def __init__(self, program: Program, *, first: bool, is_process: bool, cpu_level: bool) -> None:
        self._faulting_is_ours = cpu_level
        self._first = first
        self._pairs = _OWN | _SHARED if first else _OWN
        self._rows = {
            name: program.call(call, *tell, may_fail=True)
            for name, (call, tell, _) in self._pairs.items()
        }
        self._name = program.buffer(_NAME_SIZE)
        program.call("prctl", _PR_GET_NAME, self._name)
        self._tsc = program.buffer(8)
        program.call("prctl", _TSC[0], self._tsc, may_fail=True)
        self._io = program.call("ioprio_get", _IOPRIO_WHO_PROCESS, 0, may_fail=True)
        self._mode, self._nodes = program.buffer(8), program.buffer(_NODES // 8)
        self._policy = program.call(
            "get_mempolicy", self._mode, self._nodes, _NODES, 0, 0, may_fail=True
        )
        self._death = program.buffer(8)
        if not is_process:
            program.call("prctl", _PR_GET_PDEATHSIG, self._death)
        self._xcomp = program.buffer(8)
        self._barrier: Row | None = None
        if first:
            program.call("arch_prctl", _XCOMP[0], self._xcomp, may_fail=True)
            self._barrier = program.call(
                "membarrier", _MEMBARRIER_GET_REGISTRATIONS, 0, 0, may_fail=True
            )

    def answer(self, results: Results) -> Attributes:
        """What the thread has set."""
        values = {
            name: results[row]
            for name, row in self._rows.items()
            if results[row] >= 0 and results[row] != _BEGINS.get(name, 0)
        }
        for name in _SPECULATION & set(values):
            if not values[name] & _PR_SPEC_PRCTL:  # the kernel's own choice, and not to be changed
                del values[name]
        if beginning().permitted or not values.get("securebits", 0) & ~_KEEP_CAPS:
            values.pop("securebits", None)  # of who has privilege they are the room credentials'
        if self._faulting_is_ours:
            values.pop("cpuid faulting", None)
        tsc = _int(results, self._tsc)
        if tsc > 1:
            values["tsc"] = tsc
        policy = _int(results, self._mode) if results[self._policy] == 0 else 0
        barrier = results[self._barrier] if self._barrier is not None else 0
        return Attributes(
            name=results.bytes(self._name).split(b"\0")[0],
            values=values,
            io_priority=io if (io := results[self._io]) > 0 and io >> _CLASS_SHIFT else 0,
            memory_policy=policy,
            memory_nodes=results.bytes(self._nodes) if policy else b"",
            membarrier=sum(_REGISTRATIONS) if barrier < 0 else barrier,
            xcomp=_int(results, self._xcomp),
            death_signal=_int(results, self._death),
        )


_KEEP_CAPS = 1 << 4
"""Of the securebits: the one that PR_SET_KEEPCAPS sets too, and anybody may."""
_SPECULATION = {"store bypass", "indirect branch", "cache flush"}
_BEGINS = {
    "personality": -1,  # it is its maker's
    "machine check policy": 2,
    "cpuid faulting": 1,
    "store bypass": _PR_SPEC_PRCTL | _PR_SPEC_ENABLE,
    "indirect branch": _PR_SPEC_PRCTL | _PR_SPEC_ENABLE,
    "cache flush": _PR_SPEC_PRCTL | _PR_SPEC_DISABLE,
}
"""What a thread that set nothing answers, where that is not 0 or an error."""


def _int(results: Results, data: Data) -> int:
    (value,) = struct.unpack("<i4x", results.bytes(data))
    return int(value)


def has_tiles(attributes: Attributes) -> bool:
    """Has its process asked for them? The first living thread tells for all."""
    return bool(attributes.xcomp >> TILE_DATA & 1)


def add_rows(program: Program, attributes: Attributes) -> None:
    """The rows that set all of it in a new thread.

    What the host refuses was the thread's own request, granted elsewhere by another processor or
    privilege: the row fails and names it.
    """
    program.call("prctl", _PR_SET_NAME, program.data(attributes.name + b"\0"))
    if attributes.death_signal:
        program.call("prctl", _PR_SET_PDEATHSIG, attributes.death_signal)
    if attributes.io_priority:
        program.call("ioprio_set", _IOPRIO_WHO_PROCESS, 0, attributes.io_priority)
    if attributes.memory_policy:
        nodes = program.data(attributes.memory_nodes)
        program.call("set_mempolicy", attributes.memory_policy, nodes, _NODES)
    if has_tiles(attributes):
        program.call("arch_prctl", _XCOMP[1], TILE_DATA)
    for command in _REGISTRATIONS:
        if attributes.membarrier & command:
            program.call("membarrier", command, 0, 0, may_fail=True)
    for name, value in attributes.values.items():
        if name == "tsc":
            program.call("prctl", _TSC[1], value)
            continue
        call, _, setter = (_OWN | _SHARED)[name]
        if name in _SPECULATION:
            value &= ~_PR_SPEC_PRCTL
        values: tuple[int, ...] = (value,)
        if name == "transparent huge pages":
            values = (value & 1, value & ~1)  # since 6.18 the answer holds flags, too
        rest = [0] * (5 - len(setter) - len(values)) if call == "prctl" else []
        program.call(call, *setter, *values, *rest)
