"""Stopped and continued processes, and what their parents have still to be told of it.

The kernel keeps: which signal stopped a process, whether its parent has waited for that (WUNTRACED),
and whether SIGCONT has made it go on since its parent last looked (WCONTINUED). A stop signal that
came to a stopped process stays pending: signals are in the signal room.

No C half: the tracer knows who is in a group-stop.
"""

from __future__ import annotations

import signal
import struct
from collections import defaultdict
from dataclasses import dataclass

from ..ids import SUPERVISOR
from ..linux.program import Data, Program
from ..shapes import NamesLiving, NamesLivingOrSupervisor, Signal
from ..view.build import Build, BuildProcess, Stage
from ..view.frozen import FrozenPod, FrozenProcess

NAME = "job_control"

_P_PID, _WNOHANG, _WSTOPPED, _WCONTINUED, _WNOWAIT = 1, 0x1, 0x2, 0x8, 0x01000000
_WALL = 0x40000000  # also for children that tell of their end by another signal
_CLD_STOPPED, _CLD_CONTINUED = 5, 6
_INFO = 128  # siginfo_t: signal, errno, code
_SET = 8


@dataclass(frozen=True)
class State:
    """Of a process that is stopped, or whose parent has not been told of all yet."""

    vpid: NamesLiving
    ppid: NamesLivingOrSupervisor
    stopped_by: Signal
    """The signal, or 0."""
    told: bool
    """Its parent has waited for the stop; if it is not stopped, for its going on."""


def capture(pod: FrozenPod) -> list[State]:
    children: dict[int, list[FrozenProcess]] = defaultdict(list)
    for process in pod.processes:
        children[process.ppid].append(process)
    untold = {
        vpid
        for parent in pod.processes
        if parent.vpid in children
        for vpid in _waiting_for(parent, children[parent.vpid])
    }
    return [
        State(p.vpid, p.ppid, p.leader.group_stop, told=p.vpid not in untold)
        for p in pod.processes
        if p.leader.group_stop or p.vpid in untold
    ]


def _waiting_for(parent: FrozenProcess, children: list[FrozenProcess]) -> list[int]:
    """Those of whose stop or going on a wait of the parent would tell."""
    program = Program()
    infos: list[tuple[FrozenProcess, Data]] = []
    options = _WSTOPPED | _WCONTINUED | _WNOHANG | _WNOWAIT | _WALL
    for child in children:
        info = program.buffer(_INFO)
        program.call("waitid", _P_PID, child.rpid, info, options, 0)
        infos.append((child, info))
    results = parent.run(program)
    codes = [(child, struct.unpack_from("<iii", results.bytes(info))[2]) for child, info in infos]
    return [child.vpid for child, code in codes if code in (_CLD_STOPPED, _CLD_CONTINUED)]


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.RESUME, _stop if state.stopped_by else _go_on, state, build)


def _stop(state: State, build: Build) -> None:
    """Back into its group-stop; its parent hears of it only if it had not yet."""
    process = build.process(state.vpid)
    build.stop(process.rpid, state.stopped_by)
    if state.told:
        _tell(state, process, build)


def _go_on(state: State, build: Build) -> None:
    """It has a stop behind it that its parent was told of, and a SIGCONT that it was not."""
    process = build.process(state.vpid)
    build.stop(process.rpid, signal.SIGSTOP)
    _tell(state, process, build)
    build.go_on(process.rpid)
    program = Program()
    mask = program.data(struct.pack("<Q", 1 << (signal.SIGCONT - 1)))
    program.call("rt_sigtimedwait", mask, 0, program.data(bytes(16)), _SET, may_fail=True)
    process.run(program)


def _tell(state: State, process: BuildProcess, build: Build) -> None:
    if state.ppid == SUPERVISOR:
        return
    program = Program()
    info = program.buffer(_INFO)
    program.call("waitid", _P_PID, process.rpid, info, _WSTOPPED | _WNOHANG | _WALL, 0)
    build.process(state.ppid).run(program)
