"""Interval timers of a process: real, virtual and profiling (setitimer(2), alarm(2)).

No C half: timers hold no ids.
"""

from __future__ import annotations

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
        if kind == _REAL:
            value = shortened(value, passed_ns, _US)
        program.call("setitimer", kind, program.data(value), 0)
    build.process(state.vpid).run(program)
