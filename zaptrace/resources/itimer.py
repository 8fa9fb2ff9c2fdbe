"""Interval timers of a process: real, virtual and profiling (setitimer(2), alarm(2)).

A periodic real timer stands still from its SIGALRM on until that is taken (kernel/signal.c,
dequeue_signal). One that waits so is let expire at once: its signal is pending already, as it was.

No C half: timers hold no ids.
"""

from __future__ import annotations

import signal
import struct
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from ..linux.program import Program
from ..shapes import I64, NamesLiving, OneOf
from ..view.build import Build, Stage
from ..view.frozen import FrozenPod, FrozenProcess
from .common.timer import Times, pod_now, shortened

NAME = "itimer"

_SIZE = 32  # struct itimerval
_REAL = 0
_KINDS = (_REAL, 1, 2)
_US = 1000
_EXPIRED_NS = 100_000


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    at_ns: I64  # of the pod's monotonic time: when they were read
    timers: dict[Annotated[int, OneOf(*_KINDS)], Annotated[bytes, Times(1_000_000)]]
    # ITIMER_* -> struct itimerval: interval, then the time left


def capture(pod: FrozenPod) -> list[State]:
    found = [_capture(pod, process) for process in pod.processes]
    return [state for state in found if state.timers]


def _capture(pod: FrozenPod, process: FrozenProcess) -> State:
    program = Program()
    buffers = [program.buffer(_SIZE) for _ in _KINDS]
    for kind, buffer in zip(_KINDS, buffers, strict=True):
        program.call("getitimer", kind, buffer)
    results = process.run(program)
    at_ns = pod_now(pod.handle)
    values = {kind: results.bytes(buffers[kind]) for kind in _KINDS}
    return State(process.vpid, at_ns, {kind: v for kind, v in values.items() if v != bytes(_SIZE)})


def restore(states: list[State], build: Build) -> None:
    for state in states:
        # As late as can be, and after the pod's clock was set: none of its time has passed.
        build.at(Stage.RESUME, build.at_thaw, partial(_set, state, build))


def _set(state: State, build: Build) -> None:
    passed_ns = pod_now(build.handle) - state.at_ns
    program = Program()
    for kind, value in state.timers.items():
        if kind == _REAL and _waits(value):
            _expire(program, value)
        elif kind == _REAL:
            program.call("setitimer", kind, program.data(shortened(value, passed_ns, _US)), 0)
        else:
            program.call("setitimer", kind, program.data(value), 0)
    build.process(state.vpid).run(program)


def _waits(value: bytes) -> bool:
    interval_s, interval_us, left_s, left_us = struct.unpack("<qqqq", value)
    return bool(interval_s or interval_us) and not (left_s or left_us)


def _expire(program: Program, value: bytes) -> None:
    """With its signal blocked, for whoever took that would start it again."""
    alarm, before = program.data(struct.pack("<Q", 1 << (signal.SIGALRM - 1))), program.buffer(8)
    soon = value[:16] + struct.pack("<qq", 0, 1)
    program.call("rt_sigprocmask", signal.SIG_BLOCK, alarm, before, 8)
    program.call("setitimer", _REAL, program.data(soon), 0)
    program.call("nanosleep", program.data(struct.pack("<qq", 0, _EXPIRED_NS)), 0)
    program.call("rt_sigprocmask", signal.SIG_SETMASK, before, 0, 8)
