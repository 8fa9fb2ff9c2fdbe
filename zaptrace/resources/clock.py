"""The pod's monotonic time: it goes on where the checkpoint stopped it, whatever the new host's is.

The pod's time is the host's plus an offset, which our vDSO and the trapped clock calls add. It is set
when the pod is thawed, so that waiting for a hand-over is no time for the pod. Wall-clock time is the
host's own; CPU-time clocks are the room cpu_time's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..linux.native import lib
from ..shapes import I64
from ..view.build import Build, Stage
from ..view.frozen import FrozenPod

NAME = "clock"

_COARSE = 6  # CLOCK_MONOTONIC_COARSE: up to a tick behind, here as well as there


@dataclass(frozen=True)
class State:
    monotonic_ns: I64  # the pod's, when it was frozen


def capture(pod: FrozenPod) -> list[State]:
    return [State(time.monotonic_ns() + lib.zt_pod_clock(pod.handle))]


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.RESUME, build.at_thaw, lambda state=state: _set(state, build))


def _set(state: State, build: Build) -> None:
    tick_ns = int(time.clock_getres(_COARSE) * 1e9)
    lib.zt_pod_set_clock(build.handle, state.monotonic_ns + tick_ns - time.monotonic_ns())
