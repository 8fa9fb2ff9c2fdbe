"""Signals: actions of a process, and what is pending for it as a whole.

The kernel keeps: sigaction of every signal, and queues of pending signals with their siginfo. What is
pending for one thread, its mask and its alternate stack are in the thread room.
"""

from __future__ import annotations

import signal
import struct
from dataclasses import dataclass
from typing import Annotated

from ..linux.program import Program
from ..shapes import Length, NamesLiving, Range
from ..view.build import Build, BuildProcess, Stage
from ..view.frozen import FrozenPod, FrozenProcess
from .common.siginfo import SigInfo, to_real, to_virtual
from .common.timer_signal import brought_along

NAME = "signal"

_COUNT = 64
_UNCHANGEABLE = {int(signal.SIGKILL), int(signal.SIGSTOP)}
_ACTION = 32  # struct kernel_sigaction: handler, flags, restorer, mask
_SET = 8
_SIGCHLD = int(signal.SIGCHLD)
_CHILD_CODES = range(1, 7)  # CLD_EXITED and what follows
_NO_ACTION = bytes(_ACTION)


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    actions: dict[Annotated[int, Range(1, _COUNT)], Annotated[bytes, Length(_ACTION)]]
    # only of signals that are not at their default
    pending: list[SigInfo]  # siginfo_t, of the process


def capture(pod: FrozenPod) -> list[State]:
    return [_capture(pod, process) for process in pod.processes]


def _capture(pod: FrozenPod, process: FrozenProcess) -> State:
    program = Program()
    actions = {}
    for number in range(1, _COUNT + 1):
        if number not in _UNCHANGEABLE:
            actions[number] = program.buffer(_ACTION)
            program.call("rt_sigaction", number, 0, actions[number], _SET)
    results = process.run(program)
    found = {number: results.bytes(buffer) for number, buffer in actions.items()}
    pending = process.leader.pending(shared=True)
    of_timers = brought_along(process, pending)
    return State(
        process.vpid,
        {number: action for number, action in found.items() if action != _NO_ACTION},
        [to_virtual(info, pod.vpid) for info in pending if info not in of_timers],
    )


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.OWN, _ignore, state, build)
        build.at(Stage.RESUME, _load, state, build)


def _ignore(state: State, build: Build) -> None:
    """Before any thread has a signal that waits: to ignore one is to throw away those, sigaction(2).

    Not SIGCHLD: who ignores that has no zombies, and they are made yet.
    """
    program = build.process(state.vpid).program(Stage.OWN)
    for number, action in state.actions.items():
        if _is_ignored_early(number, action):
            program.call("rt_sigaction", number, program.data(action), 0, _SET)


def _is_ignored_early(number: int, action: bytes) -> bool:
    return number != _SIGCHLD and struct.unpack_from("<Q", action) == (signal.SIG_IGN,)


def _load(state: State, build: Build) -> None:
    process = build.process(state.vpid)
    program = process.program(Stage.RESUME)
    _forget_children_of_the_restore(process, program)
    for number, action in state.actions.items():
        if not _is_ignored_early(number, action):
            program.call("rt_sigaction", number, program.data(action), 0, _SET)
    for info in state.pending:
        (number,) = struct.unpack_from("<i", info)
        real = to_real(info, build.real_or_zero)
        program.call("rt_sigqueueinfo", process.rpid, number, program.data(real))


def _forget_children_of_the_restore(process: BuildProcess, program: Program) -> None:
    """Helpers and zombies that ended while the tree was made left a SIGCHLD, or what clone(2) was
    told to send in its place: a real-time one for each."""
    at_once = program.data(bytes(16))
    sent = [_of_child(info) for info in process.leader.pending(shared=True)]
    for number in [_SIGCHLD, *filter(None, sent)]:
        mask = program.data(struct.pack("<Q", 1 << (number - 1)))
        program.call("rt_sigtimedwait", mask, 0, at_once, _SET, may_fail=True)


def _of_child(info: bytes) -> int:
    """The number of a signal that tells of a child; else 0."""
    number, _, code = struct.unpack_from("<iii", info)
    return number if code in _CHILD_CODES else 0
