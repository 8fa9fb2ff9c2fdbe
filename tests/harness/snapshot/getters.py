"""What a process or thread can ask of itself, asked by it: every getter of prctl, and its like."""

from __future__ import annotations

import errno
import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.snapshot.look import Look
from zaptrace.linux.program import Data, Program, Results, Row
from zaptrace.linux.tracee import Thread

VALUE, INT, LONG, NAME = "the result", 4, 8, 16
"""Where prctl puts what it tells: into its result, or so many bytes at its second argument."""

PRCTL: dict[str, tuple[int, str | int, tuple[int, ...]]] = {
    "PR_GET_PDEATHSIG": (2, INT, ()),
    "PR_GET_DUMPABLE": (3, VALUE, ()),
    "PR_GET_UNALIGN": (5, INT, ()),
    "PR_GET_KEEPCAPS": (7, VALUE, ()),
    "PR_GET_FPEMU": (9, INT, ()),
    "PR_GET_FPEXC": (11, INT, ()),
    "PR_GET_TIMING": (13, VALUE, ()),
    "PR_GET_NAME": (16, NAME, ()),
    "PR_GET_ENDIAN": (19, INT, ()),
    "PR_GET_TSC": (25, INT, ()),
    "PR_GET_SECUREBITS": (27, VALUE, ()),
    "PR_GET_TIMERSLACK": (30, VALUE, ()),
    "PR_MCE_KILL_GET": (34, VALUE, (0, 0, 0, 0)),
    "PR_GET_CHILD_SUBREAPER": (37, INT, ()),
    "PR_GET_NO_NEW_PRIVS": (39, VALUE, (0, 0, 0, 0)),
    "PR_GET_TID_ADDRESS": (40, LONG, ()),
    "PR_GET_THP_DISABLE": (42, VALUE, (0, 0, 0, 0)),
    "PR_GET_FP_MODE": (46, VALUE, ()),
    "PR_SVE_GET_VL": (51, VALUE, ()),
    "PR_GET_SPECULATION_CTRL": (52, VALUE, (0, 0, 0, 0)),
    "PR_GET_SPECULATION_CTRL indirect branch": (52, VALUE, (1, 0, 0, 0)),
    "PR_GET_SPECULATION_CTRL L1D flush": (52, VALUE, (2, 0, 0, 0)),
    "PR_GET_TAGGED_ADDR_CTRL": (56, VALUE, (0, 0, 0, 0)),
    "PR_GET_IO_FLUSHER": (58, VALUE, (0, 0, 0, 0)),
    "PR_PAC_GET_ENABLED_KEYS": (61, VALUE, (0, 0, 0, 0)),
    "PR_SME_GET_VL": (64, VALUE, ()),
    "PR_GET_MDWE": (66, VALUE, (0, 0, 0, 0)),
    "PR_GET_MEMORY_MERGE": (68, VALUE, (0, 0, 0, 0)),
    "PR_RISCV_V_GET_CONTROL": (70, VALUE, ()),
    "PR_PPC_GET_DEXCR": (72, VALUE, (0, 0, 0, 0)),
    "PR_GET_SHADOW_STACK_STATUS": (74, LONG, (0, 0, 0)),
    "PR_TIMER_CREATE_RESTORE_IDS_GET": (77, VALUE, (2, 0, 0, 0)),
}
IGNORED_PRCTL = {
    "PR_GET_SECCOMP": "the filters are ours too",
    "PR_SCHED_CORE_GET": "a number of the host's",
    "PR_GET_AUXV": "/proc/PID/auxv",
    "PR_FUTEX_HASH_GET_SLOTS": "sized by the kernel, as threads come",
    "PR_FUTEX_HASH_GET_IMMUTABLE": "was only in 6.16",
    "PR_CAP_AMBIENT_IS_SET": "CapAmb in status",
}
"""Getters that are not asked, and why."""

_ARCH = {
    "ARCH_GET_CPUID": (0x1011, VALUE),
    "ARCH_GET_XCOMP_PERM": (0x1022, LONG),
    "ARCH_GET_UNTAG_MASK": (0x4001, LONG),
    "ARCH_SHSTK_STATUS": (0x5005, LONG),
}
_MEMBARRIER_GET_REGISTRATIONS = 1 << 9
_IOPRIO_WHO_PROCESS = 1
_NODES = 1024
_TLS_ENTRIES = (12, 13, 14)


@dataclass
class _Asking:
    """A program of getters, and how each answer is read."""

    program: Program
    answers: dict[str, tuple[Row, Callable[[Results], Any]]]

    def value(self, name: str, call: str, *args: Any) -> None:
        row = self.program.call(call, *args, may_fail=True)
        self.answers[name] = (row, lambda results: results[row])

    def bytes(self, name: str, size: int, call: str, make: Callable[[Data], tuple]) -> None:
        """The bytes that a call fills in; `make(data)` gives its arguments."""
        data = self.program.buffer(size)
        row = self.program.call(call, *make(data), may_fail=True)
        self.answers[name] = (row, lambda results: results.bytes(data).hex())

    def run(self, look: Look, rtid: int) -> dict[str, Any]:
        results = look.run(rtid, self.program)
        if results is None:
            return {}
        return {
            name: read(results) if results[row] >= 0 else errno.errorcode.get(-results[row], "?")
            for name, (row, read) in self.answers.items()
        }


def of_thread(look: Look, rtid: int) -> dict[str, Any]:
    """Everything that may be another one in each thread."""
    found = _thread_asking().run(look, rtid)
    if found:
        rseq = Thread(look.handle, rtid, 0).rseq()
        found["rseq"] = (rseq.address, rseq.size, rseq.signature, rseq.flags)
    return found


@functools.cache
def _thread_asking() -> _Asking:
    asking = _Asking(Program(), {})
    for name, (number, where, more) in PRCTL.items():
        if where == VALUE:
            asking.value(name, "prctl", number, *more)
        else:
            asking.bytes(name, int(where), "prctl", lambda d, n=number, m=more: (n, d, *m))
    for name, (number, where) in _ARCH.items():
        if where == VALUE:
            asking.value(name, "arch_prctl", number, 0)
        else:
            asking.bytes(name, int(where), "arch_prctl", lambda d, n=number: (n, d))
    asking.bytes("alternate stack", 24, "sigaltstack", lambda d: (0, d))
    asking.bytes("robust list", 16, "get_robust_list", lambda d: (0, d, d.at(8)))
    asking.bytes("memory policy", 8 + _NODES // 8, "get_mempolicy", _mempolicy)
    asking.bytes("affinity", 128, "sched_getaffinity", lambda d: (0, 128, d))
    asking.bytes("scheduling", 56, "sched_getattr", lambda d: (0, d, 56, 0))
    asking.value("io priority", "ioprio_get", _IOPRIO_WHO_PROCESS, 0)
    for entry in _TLS_ENTRIES:
        descriptor = asking.program.data(struct.pack("<I", entry) + bytes(12))
        row = asking.program.call("get_thread_area", descriptor, may_fail=True)
        asking.answers[f"segment {entry}"] = (row, lambda r, d=descriptor: r.bytes(d).hex())
    return asking


def _mempolicy(data: Data) -> tuple:
    return (data, data.at(8), _NODES, 0, 0)


def of_process(look: Look, rpid: int) -> dict[str, Any]:
    """What all threads of a process have in common; asked by the first that is there."""
    asking = _Asking(Program(), {})
    asking.value("personality", "personality", 0xFFFFFFFF)
    asking.value("membarrier", "membarrier", _MEMBARRIER_GET_REGISTRATIONS, 0, 0)
    asking.bytes("segments", 8192, "modify_ldt", lambda d: (0, d, 8192))
    return {"asked": asking.run(look, rpid)}


def timers(look: Look, rpid: int, ids: list[int]) -> dict[str, str]:
    """Interval timers and POSIX timers: interval, and whether they run."""
    asking = _Asking(Program(), {})
    for which in range(3):
        asking.bytes(f"interval timer {which}", 32, "getitimer", lambda d, w=which: (w, d))
    for id_ in ids:
        asking.bytes(f"timer {id_}", 32, "timer_gettime", lambda d, i=id_: (i, d))
    return {k: _without_time_left(value) for k, value in asking.run(look, rpid).items()}


def _without_time_left(value: str) -> str:
    """An itimerval's (or itimerspec's) interval, and whether it runs.

    The time left goes on, and one that comes only once may have come while the pod was frozen.
    """
    raw = bytes.fromhex(value)
    if not any(raw[:16]):
        return "once, or not running"
    return f"interval {raw[:16].hex()}, {'running' if any(raw[16:]) else 'not running'}"
