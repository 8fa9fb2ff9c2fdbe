"""Interval timers of a process: real, virtual and profiling (setitimer(2), alarm(2)).

No C half: timers hold no ids.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..build import Build, Stage
from ..frozen import FrozenPod, FrozenProcess
from ..program import Program

NAME = "itimer"

_SIZE = 32  # struct itimerval
_KINDS = (0, 1, 2)


@dataclass(frozen=True)
class State:
    vpid: int
    timers: dict[int, bytes]  # ITIMER_* -> struct itimerval: interval, then the time left


def capture(pod: FrozenPod) -> list[State]:
    found = [_capture(process) for process in pod.processes]
    return [state for state in found if state.timers]


def _capture(process: FrozenProcess) -> State:
    program = Program()
    buffers = [program.buffer(_SIZE) for _ in _KINDS]
    for kind, buffer in zip(_KINDS, buffers, strict=True):
        program.call("getitimer", kind, buffer)
    results = process.run(program)
    values = {kind: results.bytes(buffers[kind]) for kind in _KINDS}
    return State(process.vpid, {kind: v for kind, v in values.items() if v != bytes(_SIZE)})


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.RESUME, _set, state, build)


def _set(state: State, build: Build) -> None:
    program = build.process(state.vpid).program(Stage.RESUME)
    for kind, value in state.timers.items():
        program.call("setitimer", kind, program.data(value), 0)
