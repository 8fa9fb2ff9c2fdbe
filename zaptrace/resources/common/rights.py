"""User and group ids, groups, capabilities and securebits: of each thread, as credentials(7) has it.

Only the processes of a privileged pod (root's) can have others than the supervisor's. Each thread
takes its own, in a program of its own, when nothing else is to be done in it that needs privilege:

    1. SECBIT_NO_SETUID_FIXUP: capabilities stay whatever the user ids become
    2. groups, group ids, user ids
    3. inheritable capabilities, which may be any of the bounding set; with these, ambient ones
    4. the bounding set; securebits, which may lock themselves; the capabilities that are left
    5. what the kernel takes away with each change of ids: the death signal, and that a core dump may be
       made of the process (which says whose /proc/PID is, too)
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated

from ...errors import RestoreError
from ...linux.procfs import status
from ...linux.program import Data, Program, Results, Row
from ...linux.tracee import Thread
from ...shapes import U32, U64, Length, Signal
from .privilege import CAP_SETGID, CAP_SETPCAP, CAP_SETUID, CAP_SYS_PTRACE, beginning

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG, _PR_GET_DUMPABLE, _PR_SET_DUMPABLE = 1, 2, 3, 4
_PR_CAPBSET_DROP, _PR_GET_SECUREBITS, _PR_SET_SECUREBITS, _PR_CAP_AMBIENT = 24, 27, 28, 47
_AMBIENT_RAISE, _AMBIENT_LOWER = 2, 3
_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522
_MOST_GROUPS = 1 << 16

NEEDED = (CAP_SETUID, CAP_SETGID, CAP_SETPCAP, CAP_SYS_PTRACE)
"""To give a process other rights, and to go on looking after it then."""

Ids = Annotated[list[U32], Length(4)]
"""Real, effective, saved, and that for file systems."""


@dataclass(frozen=True)
class Rights:
    uids: Ids
    gids: Ids
    groups: Annotated[list[U32], Length(0, _MOST_GROUPS)]
    inheritable: U64
    permitted: U64
    effective: U64
    bounding: U64
    ambient: U64
    securebits: U32
    death_signal: Signal


def of_thread(thread: Thread) -> Rights:
    program = Program()
    ask = _asked(program)
    return ask(thread, thread.run(program))


def of_ended(rtid: int) -> Rights | None:
    """Of a thread that has ended, what others see; None where there is no privilege."""
    return _told(rtid, 0, 0) if beginning().permitted else None


def give_to_ended(wanted: Rights | None, thread: Thread) -> None:
    """The same to one that is about to end as a process, if there was privilege."""
    if wanted is not None:
        give(wanted, thread, dumpable=False)


def _asked(program: Program) -> Callable[[Thread, Results], Rights]:
    """Rows that ask; what is given tells their answer, when they have been run."""
    bits, death = program.call("prctl", _PR_GET_SECUREBITS), program.buffer(4)
    program.call("prctl", _PR_GET_PDEATHSIG, death)

    def answer(thread: Thread, results: Results) -> Rights:
        (signal,) = struct.unpack("<i", results.bytes(death))
        return _told(thread.rtid, results[bits], signal)

    return answer


def _told(rtid: int, securebits: int, death_signal: int) -> Rights:
    found = status(rtid)

    def ids(key: str) -> list[int]:
        return list(map(int, found[key].split()))

    def capabilities(key: str) -> int:
        return int(found[key], 16)

    return Rights(
        uids=ids("Uid"),
        gids=ids("Gid"),
        groups=ids("Groups"),
        inheritable=capabilities("CapInh"),
        permitted=capabilities("CapPrm"),
        effective=capabilities("CapEff"),
        bounding=capabilities("CapBnd"),
        ambient=capabilities("CapAmb"),
        securebits=securebits,
        death_signal=death_signal,
    )


def give(wanted: Rights, thread: Thread, *, dumpable: bool) -> None:
    """From here on the thread has no more rights than that. Raises RestoreError if not just these."""
    asking = Program()
    ask, is_dumpable = _asked(asking), asking.call("prctl", _PR_GET_DUMPABLE)
    results = thread.run(asking)
    now = ask(thread, results)
    if now == wanted and dumpable == (results[is_dumpable] == 1):
        return
    program = Program()
    if replace(now, death_signal=wanted.death_signal) != wanted:
        program.call("prctl", _PR_SET_SECUREBITS, now.securebits | _NO_SETUID_FIXUP)
        _take_ids(program, now, wanted)
        _take_capabilities(program, now, wanted)
    program.call("prctl", _PR_SET_PDEATHSIG, wanted.death_signal)
    if dumpable:
        program.call("prctl", _PR_SET_DUMPABLE, 1)
    ask = _asked(program)
    got = ask(thread, thread.run(program))
    if got != wanted:
        raise RestoreError(
            f"cannot restore thread {thread.vtid}: it did not get the rights that it had",
            needed=f"{wanted}",
            found=f"{got}",
        )


def _take_ids(program: Program, now: Rights, wanted: Rights) -> None:
    if now.groups != wanted.groups:
        groups = program.data(struct.pack(f"<{len(wanted.groups)}I", *wanted.groups))
        program.call("setgroups", len(wanted.groups), groups)
    if now.gids != wanted.gids:
        program.call("setresgid", *wanted.gids[:3])
        program.call("setfsgid", wanted.gids[3])
    if now.uids != wanted.uids:
        program.call("setresuid", *wanted.uids[:3])
        program.call("setfsuid", wanted.uids[3])


def _take_capabilities(program: Program, now: Rights, wanted: Rights) -> None:
    _capset(program, now.permitted, now.permitted, wanted.inheritable)
    for one in _bits(now.ambient & ~wanted.ambient):
        program.call("prctl", _PR_CAP_AMBIENT, _AMBIENT_LOWER, one, 0, 0)
    for one in _bits(wanted.ambient & ~now.ambient):
        program.call("prctl", _PR_CAP_AMBIENT, _AMBIENT_RAISE, one, 0, 0)
    for one in _bits(now.bounding & ~wanted.bounding):
        program.call("prctl", _PR_CAPBSET_DROP, one)
    program.call("prctl", _PR_SET_SECUREBITS, wanted.securebits)
    _capset(program, wanted.permitted, wanted.effective, wanted.inheritable)


def _capset(program: Program, permitted: int, effective: int, inheritable: int) -> Row:
    sets = (effective, permitted, inheritable)
    head: Data = program.data(struct.pack("<Ii", _CAPABILITY_VERSION_3, 0))
    low_and_high = (*(one & 0xFFFFFFFF for one in sets), *(one >> 32 for one in sets))
    return program.call("capset", head, program.data(struct.pack("<6I", *low_and_high)))


def _bits(mask: int) -> list[int]:
    return [bit for bit in range(64) if mask >> bit & 1]
