"""What processes and threads have used: CPU time, page faults, switches, the most memory at a time.

The kernel counts it for each thread, process, and for the children that a process has waited for;
calls tell it (getrusage(2), times(2), wait4(2), CPU-time clocks and timers), and the limit on CPU
time is watched by it. A restored process is counted from 0 again, so it gets a *past*: what calls
told at the checkpoint, minus what the kernel tells when all else is restored. The C half adds it to what
is told, and the kernel's soft limit is lower by it.
The limit counts whole seconds, so its signal comes up to a second late after a restore.
Not carried: what /proc/PID/stat, status, io and schedstat tell. A sleep on a CPU-time clock for a
while (not until a moment) is refused: how much was left, the kernel tells nobody.
"""

from __future__ import annotations

import functools
import resource
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from ..errors import UnsupportedResource
from ..linux.native import Handle, ffi, lib
from ..linux.program import Program, Results, number_of
from ..shapes import I64, Length, NamesLivingOrNone, NamesProcess, NamesThread, Range
from ..view.build import Build, Stage
from ..view.frozen import FrozenPod, FrozenProcess, FrozenThread, Zombie
from .common.limit import InOrder, granted, limit_of
from .room import Whole, bad

NAME = "cpu_time"

_SELF, _CHILDREN, _THREAD = 0, -1, 1
_TMS = struct.Struct("<4q")
_TIMESPEC = struct.Struct("<qq")
_S, _US = 1_000_000_000, 1_000_000
_US_PER_TICK = 10_000
_KINDS = (0, 1, 2)  # CPUCLOCK_PROF, _VIRT, _SCHED
_PER_THREAD = 4
_THREAD_PAST, _PROCESS_PAST = struct.Struct("<19q"), struct.Struct("<40q")  # csrc/api.h
_OWN, _OF_CHILDREN, _CLOCKS, _TICKS = slice(0, 16), slice(16, 32), slice(32, 35), slice(35, 39)
_MOST_RSS = {2, 18}
"""Places of what is not a sum, but the most so far."""
_P_PID, _WNOHANG, _WEXITED, _WNOWAIT, _WALL = 1, 0x1, 0x4, 0x01000000, 0x40000000
_TIMER_ABSTIME = 1
_MOST_SECONDS = (1 << 63) - 1
_RESTART_BLOCK = -516 & 0xFFFFFFFFFFFFFFFF
_CLOCK_PROCESS_CPUTIME_ID = 2


_Amount = Annotated[int, Range(-(1 << 62), 1 << 62)]
"""From which what the kernel counts can be taken."""


@dataclass(frozen=True)
class State:
    vpid: NamesProcess
    reaper: NamesLivingOrNone
    """Of a zombie: its parent. Else 0."""
    used: Annotated[list[_Amount], Length(39)]
    """As the program is told it, in the order of zt_process_past (csrc/api.h)."""
    threads: dict[NamesThread, Annotated[list[_Amount], Length(19)]]
    """By vtid, in the order of zt_thread_past."""
    limit: Annotated[list[I64], Length(0, 2), InOrder()]
    """RLIMIT_CPU, soft and hard, as the program set it; of a zombie nothing."""


Reader = Callable[[Results], list[int]]
"""Gives what rows of a program have told."""


# -- asking the kernel


def _ask_usage(program: Program, who: int) -> Reader:
    buffer = program.buffer(8 * 18)
    program.call("getrusage", who, buffer)
    return lambda results: _usage(results.bytes(buffer))


def _usage(rusage: bytes) -> list[int]:
    user_s, user_us, system_s, system_us, *rest = struct.unpack("<18q", rusage)
    return [user_s * _US + user_us, system_s * _US + system_us, *rest]


def _ask_clocks(program: Program, more: int) -> Reader:
    """The clocks of the caller itself."""
    buffers = [program.buffer(_TIMESPEC.size) for _ in _KINDS]
    for kind, buffer in zip(_KINDS, buffers, strict=True):
        program.call("clock_gettime", _clock(0, kind | more), buffer)

    def read(results: Results) -> list[int]:
        times = [_TIMESPEC.unpack(results.bytes(buffer)) for buffer in buffers]
        return [seconds * _S + ns for seconds, ns in times]

    return read


def _clock(id_: int, kind: int) -> int:
    return ~id_ << 3 | kind


def _ask_thread(program: Program) -> Reader:
    parts = [_ask_usage(program, _THREAD), _ask_clocks(program, _PER_THREAD)]
    return lambda results: [number for part in parts for number in part(results)]


def _ask_process(program: Program) -> Reader:
    parts = [
        _ask_usage(program, _SELF),
        _ask_usage(program, _CHILDREN),
        _ask_clocks(program, 0),
    ]
    tms = program.buffer(_TMS.size)
    program.call("times", tms)
    parts.append(lambda results: list(_TMS.unpack(results.bytes(tms))))
    return lambda results: [number for part in parts for number in part(results)]


def _ask_zombie(program: Program, rpid: int) -> Reader:
    """Of a child of the caller's: it and its children together."""
    rusage = program.buffer(8 * 18)
    program.call("waitid", _P_PID, rpid, 0, _WNOHANG | _WEXITED | _WNOWAIT | _WALL, rusage)

    def read(results: Results) -> list[int]:
        usage = _usage(results.bytes(rusage))
        clocks = [time.clock_gettime_ns(_clock(rpid, kind)) for kind in _KINDS]
        return [*usage, *([0] * 16), *clocks, *(us // _US_PER_TICK for us in usage[:2]), 0, 0]

    return read


# -- pasts


def _told(kernel: list[int], past: list[int]) -> list[int]:
    pairs = enumerate(zip(kernel, past, strict=True))
    return [max(now, then) if at in _MOST_RSS else now + then for at, (now, then) in pairs]


def _past(told: list[int], kernel: list[int]) -> list[int]:
    pairs = enumerate(zip(told, kernel, strict=True))
    return [then if at in _MOST_RSS else then - now for at, (then, now) in pairs]


def _past_of_thread(handle: Handle, rtid: int) -> list[int]:
    raw = bytearray(_THREAD_PAST.size)
    lib.zt_past_get_thread(handle, rtid, ffi.from_buffer("zt_thread_past *", raw))
    return list(_THREAD_PAST.unpack(raw))


def _past_of_process(handle: Handle, rpid: int) -> tuple[list[int], int]:
    """And by how many seconds its limit is lowered."""
    raw = bytearray(_PROCESS_PAST.size)
    lib.zt_past_get_process(handle, rpid, ffi.from_buffer("zt_process_past *", raw))
    *past, limit_s = _PROCESS_PAST.unpack(raw)
    return past, limit_s


# -- capture


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("the times of process", [state.vpid for state in states])
    for state in states:
        for vtid in state.threads:
            whole.name("thread of process", (state.vpid, vtid))
        if len(state.limit) != (0 if state.reaper else 2):
            raise bad(f"process {state.vpid} has no limit of CPU time", "soft and hard")


def capture(pod: FrozenPod) -> list[State]:
    return [*map(_capture, pod.processes), *(_capture_zombie(pod, z) for z in pod.zombies)]


def _capture(process: FrozenProcess) -> State:
    handle = process.pod.handle
    used: list[int] = []
    threads: dict[int, list[int]] = {}
    past, limit_s = _past_of_process(handle, process.rpid)
    for thread in process.threads:
        _refuse_sleep(thread)
        program = Program()
        of_process = _ask_process(program) if thread is process.leader else None
        of_thread = _ask_thread(program)
        results = thread.run(program)
        if of_process:
            used = _told(of_process(results), past)
        threads[thread.vtid] = _told(of_thread(results), _past_of_thread(handle, thread.rtid))
    soft, hard = limit_of(process, resource.RLIMIT_CPU)
    if soft != resource.RLIM_INFINITY:
        soft = soft + limit_s if hard == resource.RLIM_INFINITY else min(soft + limit_s, hard)
    return State(process.vpid, 0, used, threads, [soft, hard])


def _refuse_sleep(thread: FrozenThread) -> None:
    """The kernel goes on with it by itself, and does not show until when."""
    registers = thread.registers()
    if registers.rax != _RESTART_BLOCK or registers.orig_rax != number_of("clock_nanosleep"):
        return
    clock = registers.rdi & 0xFFFFFFFF
    if (clock == _CLOCK_PROCESS_CPUTIME_ID or clock >> 31) and not registers.rsi & _TIMER_ABSTIME:
        process = thread.process
        raise UnsupportedResource(
            f"cannot checkpoint process {process.vpid} ({process.comm}): "
            f"thread {thread.vtid} sleeps while a process uses CPU time",
            needed="a sleep until a moment (TIMER_ABSTIME), or one by another clock",
            found="clock_nanosleep on a CPU-time clock, for a while",
            do="try again when it has ended",
        )


def _capture_zombie(pod: FrozenPod, zombie: Zombie) -> State:
    rpid = lib.zt_ids_to_real(pod.handle, zombie.vpid)
    program = Program()
    ask = _ask_zombie(program, rpid)
    kernel = ask(pod.process(zombie.ppid).run(program))
    past, _ = _past_of_process(pod.handle, rpid)
    together = [own + child for own, child in zip(past[_OWN], past[_OF_CHILDREN], strict=True)]
    user, system, of_children_user, of_children_system = past[_TICKS]
    ticks = [user + of_children_user, system + of_children_system, 0, 0]
    used = _told(kernel, [*together, *([0] * 16), *past[_CLOCKS], *ticks])
    return State(zombie.vpid, zombie.ppid, used, {}, [])


# -- restore


def restore(states: list[State], build: Build) -> None:
    for state in states:
        # As late as can be: what is done before is no time of the program's.
        build.at(Stage.RESUME, build.last.append, functools.partial(_give_past, state, build))


def _give_past(state: State, build: Build) -> None:
    rpid = build.rpid(state.vpid)
    program = Program()
    if state.reaper:
        ask = _ask_zombie(program, rpid)
        kernel = ask(build.process(state.reaper).run(program))
        _set_process(build, rpid, _past(state.used, kernel), 0)
        return
    process = build.process(state.vpid)
    of_process, of_first = _ask_process(program), _ask_thread(program)
    results = process.run(program)
    past = _past(state.used, of_process(results))
    _set_process(build, rpid, past, _lower_limit(state, rpid, past))
    for vtid, told in state.threads.items():
        # Threads but the first have only just been made, and used nothing to speak of.
        kernel = of_first(results) if vtid == state.vpid else [0] * len(told)
        raw = bytearray(_THREAD_PAST.pack(*_past(told, kernel)))
        if lib.zt_past_set_thread(
            build.handle, build.rpid(vtid), ffi.from_buffer("zt_thread_past *", raw)
        ):
            raise MemoryError


def _set_process(build: Build, rpid: int, past: list[int], limit_s: int) -> None:
    raw = bytearray(_PROCESS_PAST.pack(*past, limit_s))
    if lib.zt_past_set_process(build.handle, rpid, ffi.from_buffer("zt_process_past *", raw)):
        raise MemoryError


def _lower_limit(state: State, rpid: int, past: list[int]) -> int:
    """Sets RLIMIT_CPU for the kernel, and says how many seconds lower than the program's it is."""
    limit_s = past[_CLOCKS][0] // _S
    soft, hard = granted(rpid, resource.RLIMIT_CPU, *state.limit)
    if soft == resource.RLIM_INFINITY:
        resource.prlimit(rpid, resource.RLIMIT_CPU, (soft, hard))
        return limit_s
    lowered = min(max(0, soft - limit_s), _MOST_SECONDS)
    if hard != resource.RLIM_INFINITY:
        lowered = min(lowered, hard)
    resource.prlimit(rpid, resource.RLIMIT_CPU, (lowered, hard))
    return soft - lowered
