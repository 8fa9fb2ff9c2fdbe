"""What a pod sees of the processor (`run --cpu-level`): a level of the x86-64 psABI, and no more.

The kernel keeps for each thread whether CPUID is a fault (arch_prctl(2), ARCH_SET_CPUID); the tracer
sets that at every exec, children have it from their makers, and the tracer answers
(csrc/pod/cpu_level.h). Where the processor has no CPUID faulting, or on such a host after a restore,
programs that ask the processor themselves see all of it; the log says so. A pod that began so goes on
so wherever it is: what a program has seen does not become less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from ..linux import cpu
from ..linux.native import lib
from ..log import log
from ..shapes import OneOf
from ..view.build import Build, Stage
from ..view.frozen import FrozenPod

NAME = "cpu_level"


@dataclass(frozen=True)
class State:
    level: Annotated[int, OneOf(*cpu.LEVELS)]
    """Of x86-64-vN: N."""
    faulting: bool = True
    """It began where CPUID can be a fault."""


def capture(pod: FrozenPod) -> list[State]:
    level = lib.zt_pod_cpu_level(pod.handle)
    return [State(level, bool(lib.zt_pod_cpu_faulting(pod.handle)))] if level else []


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.CLAIM, cpu.check_level, state.level)
        build.at(Stage.SHARED, _set, state, build)


def _set(state: State, build: Build) -> None:
    """Before any process of the pod executes its program."""
    if not cpu.has_faulting():
        log.warning("%s", cpu.without_faulting(state.level))
    elif not state.faulting:
        log.warning("%s", cpu.BEGAN_WITHOUT)
    lib.zt_pod_set_cpu_level(build.handle, state.level, state.faulting)
