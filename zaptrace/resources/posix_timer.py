"""POSIX timers of a process (timer_create(2)).

The kernel keeps: id, clock, whom and how to notify, interval and time left. They are seen in
/proc/PID/timers (proc(5)). Ids are given back by prctl(PR_TIMER_CREATE_RESTORE_IDS) (Linux 6.16), or
by making timers until the id comes.
A timer on a CPU-time clock keeps how much of that is left. A signal of a timer that waits comes back with
the timer, and so do overruns (common/timer_signal.py).
Not carried: what timer_getoverrun(2) tells of a signal that was taken, where another waits, or of a timer
on a CPU-time clock when more was overrun than the restored process has used; a timer on the time of a
process or thread that has ended (refused).

No C half: ids are the process's own. The C half of the room clock translates absolute times, and notes
for us what /proc does not show: under vpid and timer id, the vtid of the thread that measures itself.
"""

from __future__ import annotations

import os
import re
import struct
import time
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from ..errors import UnsupportedResource
from ..linux import procfs
from ..linux.program import Program, Row
from ..shapes import I32, I64, U64, Names, NamesLiving, OneOf, Range, Signal
from ..view.build import Build, BuildProcess, Stage
from ..view.frozen import FrozenPod, FrozenProcess
from .common.siginfo import number_of
from .common.timer import Times, pod_now, shortened
from .common.timer_signal import (
    Going,
    have_gone_off,
    of_thread,
    packed,
    signal_of,
    unpacked,
    waiting,
    waits_again,
)
from .room import Whole, bad

NAME = "posix_timer"

_SPEC = 32  # struct itimerspec: interval, then the time left
_SIGEVENT = 64
_HOW = {"signal": 0, "none": 1, "thread": 2}
_SIGEV_THREAD_ID = 4
_PR_TIMER_CREATE_RESTORE_IDS = 77
_MOST_TRIES = 4096
_PER_THREAD = 4
"""Of the number of a CPU-time clock, which is negative; the rest is an id, or 0 for the maker's own."""

_ENTRY = re.compile(
    r"ID: (\d+)\nsignal: (\d+)/([0-9a-f]+)\nnotify: (\w+)/(pid|tid)\.(\d+)\nClockID: (-?\d+)\n"
)


@dataclass(frozen=True)
class Timer:
    id: Annotated[int, Range(0, (1 << 31) - 1)]
    signal: Signal
    value: U64  # sigev_value
    how: Annotated[int, OneOf(0, 1, 2, _SIGEV_THREAD_ID)]
    vtid: Annotated[int, Names("process", "thread", but=(0,))]  # of SIGEV_THREAD_ID, else 0
    clock: I32
    """With the pod's id in it, if it has one."""
    maker: Annotated[
        int, Names("process", "thread", but=(0,))
    ]  # of one that measures its maker's own thread: its vtid, else 0
    spec: Annotated[bytes, Times(1_000_000_000)]
    waits: bool = False
    """Its signal waits to be taken."""
    overruns: Annotated[int, Range(0, (1 << 31) - 1)] = 0
    """Of the signal that waits, or else of the one that was taken last."""


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    at_ns: I64  # of the pod's monotonic time: when they were read
    timers: list[Timer]


def is_note(key: bytes, value: bytes) -> bool:
    return (len(key), len(value)) == (8, 4)


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        whole.refuse_twice(f"process {state.vpid}: timer", [timer.id for timer in state.timers])
        for timer in state.timers:
            named = ~(timer.clock >> 3) if timer.clock < 0 else 0
            if named:
                whole.seen.named.add((("process", "thread"), named))
            if timer.how == _SIGEV_THREAD_ID and not timer.vtid:
                raise bad(f"timer {timer.id} of process {state.vpid} tells no thread")


def capture(pod: FrozenPod) -> list[State]:
    found = [_capture(pod, process) for process in pod.processes]
    return [state for state in found if state.timers]


def _capture(pod: FrozenPod, process: FrozenProcess) -> State:
    text = procfs.read(f"{process.proc}/timers")
    entries = _ENTRY.findall(text)
    if not entries:
        return State(process.vpid, 0, [])
    program = Program()
    specs = [program.buffer(_SPEC) for _ in entries]
    last = []
    measured = {
        int(entry[0]): _measured(pod, process, int(entry[0]), int(entry[-1])) for entry in entries
    }
    makers = {
        id_: thread.rtid
        for id_, (_, maker) in measured.items()
        for thread in process.threads
        if thread.vtid == maker
    }
    signals = waiting(process, makers)
    for (id_, *_), spec in zip(entries, specs, strict=True):
        program.call("timer_gettime", int(id_), spec)
        last.append(program.call("timer_getoverrun", int(id_), may_fail=True))
    results = process.run(program)
    at_ns = pod_now(pod.handle)
    now_ns = {int(entry[-1]): _now(int(entry[-1])) for entry in entries}
    timers = []
    for entry, spec, overruns in zip(entries, specs, last, strict=True):
        id_, signal, value, how, whom, number, clock = entry
        of, maker = measured[int(id_)]
        thread = whom == "tid"
        times, count = results.bytes(spec), results[overruns]
        if going := signals.get(int(id_)):
            left_ns, count = going.by(now_ns[int(clock)])
            times = packed(going.interval_ns, left_ns)
        timers.append(
            Timer(
                id=int(id_),
                signal=int(signal),
                value=int(value, 16),
                how=_HOW[how] | (_SIGEV_THREAD_ID if thread else 0),
                vtid=pod.vpid(int(number)) or 0 if thread else 0,
                clock=of,
                maker=maker,
                spec=times,
                waits=going is not None,
                overruns=max(0, count),
            )
        )
    return State(process.vpid, at_ns, timers)


def _measured(pod: FrozenPod, process: FrozenProcess, id_: int, clock: int) -> tuple[int, int]:
    """The clock as the pod numbers it, and the maker if it measures that one's own thread."""
    if clock >= 0:
        return clock, 0
    named = ~(clock >> 3)
    vpid: int | None = 0
    if named:
        vpid = pod.vpid(named) if os.path.exists(f"/proc/{named}/stat") else None
    elif clock & _PER_THREAD:
        noted = pod.store(NAME).get(struct.pack("<ii", process.vpid, id_))
        vpid = struct.unpack("<i", noted)[0] if noted else process.vpid
        if any(thread.vtid == vpid for thread in process.threads):
            return clock, vpid or 0
        vpid = None
    if vpid is None:
        raise UnsupportedResource(
            f"cannot checkpoint process {process.vpid} ({process.comm}): "
            f"its timer {id_} runs on the time of a process or thread that has ended",
            needed="a clock that can be had again",
            found=f"clock {clock}",
            do="have the program delete the timer, or run it without profiling",
        )
    return (of_thread(vpid, clock) if vpid else clock), 0


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.RESUME, _make, state, build)


def _make(state: State, build: Build) -> None:
    process = build.process(state.vpid)
    begin, end = Program(), Program()
    exact = begin.call("prctl", _PR_TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0, may_fail=True)
    exact_ids = process.run(begin)[exact] == 0
    for timer in sorted(state.timers, key=lambda timer: timer.id):
        tries = 1 if exact_ids else _MOST_TRIES
        while (made := _create(timer, build, process)) != timer.id:
            tries -= 1
            if not tries:
                raise ValueError(f"timer id {timer.id} cannot be had (got {made})")
            wrong = Program()
            wrong.call("timer_delete", made)
            process.run(wrong)
    if exact_ids:
        end.call("prctl", _PR_TIMER_CREATE_RESTORE_IDS, 0, 0, 0, 0)
    if end:
        process.run(end)
    # As late as can be, and after the pod's clock was set: none of its time has passed.
    build.at_thaw(partial(_start, state, build))


def _start(state: State, build: Build) -> None:
    passed_ns = pod_now(build.handle) - state.at_ns
    program = Program()
    for timer in state.timers:
        of_cpu = timer.clock < 0  # none was used meanwhile
        spec = program.data(timer.spec if of_cpu else shortened(timer.spec, passed_ns, 1))
        program.call("timer_settime", timer.id, 0, spec, 0)
    build.process(state.vpid).run(program)
    told = [timer for timer in state.timers if timer.waits or timer.overruns]
    for timer in sorted(told, key=_since, reverse=True):
        _tell_overruns(timer, build.process(state.vpid), state.at_ns, build)


def _since(timer: Timer) -> int:
    """How long its signal has been there."""
    interval_ns, left_ns = unpacked(timer.spec)
    return (timer.overruns + 1) * interval_ns - left_ns


def _now(clock: int) -> int:
    """0 for one of CPU time."""
    return time.clock_gettime_ns(clock) if clock >= 0 else 0


def _used(timer: Timer, process: BuildProcess, build: Build) -> int:
    """By its clock, of CPU time."""
    program = Program()
    now = program.buffer(16)
    clock = _real_clock(timer, build)
    if timer.maker:
        clock = of_thread(build.rpid(timer.maker), clock)
    program.call("clock_gettime", clock, now)
    seconds, ns = struct.unpack("<qq", process.run(program).bytes(now))
    return int(seconds * 1_000_000_000 + ns)


def _tell_overruns(timer: Timer, process: BuildProcess, at_ns: int, build: Build) -> None:
    interval_ns, left_ns = unpacked(timer.spec)
    if timer.clock < 0:
        now_ns = _used(timer, process, build)
    else:
        now_ns = _now(timer.clock) - (pod_now(build.handle) - at_ns)
    going = Going(timer.id, timer.clock, interval_ns, now_ns + left_ns, timer.overruns)
    thread = process.threads[timer.vtid] if timer.vtid else process.leader
    if timer.waits:
        info = signal_of(going, timer.signal, timer.value)
        waits_again(thread, process.rpid, going, info, own=timer.vtid != 0)
    elif (
        left_ns
        and going.in_time
        and not any(
            number_of(info) == timer.signal
            for shared in (False, True)
            for info in thread.pending(shared=shared)
        )
    ):
        have_gone_off(thread, going, timer.signal)


def _real_clock(timer: Timer, build: Build) -> int:
    named = ~(timer.clock >> 3) if timer.clock < 0 else 0
    return of_thread(build.rpid(named), timer.clock) if named else timer.clock


def _create(timer: Timer, build: Build, process: BuildProcess) -> int:
    program = Program()
    tid = build.rpid(timer.vtid) if timer.vtid else 0
    event = struct.pack("<Qiii", timer.value, timer.signal, timer.how, tid)
    id_ = program.data(struct.pack("<i", timer.id))
    clock = _real_clock(timer, build)
    made: Row = program.call(
        "timer_create", clock, program.data(event.ljust(_SIGEVENT, b"\0")), id_
    )
    maker = process.threads[timer.maker] if timer.maker else process.leader
    results = maker.run(program)
    assert results[made] == 0
    number: int = struct.unpack("<i", results.bytes(id_))[0]
    return number
