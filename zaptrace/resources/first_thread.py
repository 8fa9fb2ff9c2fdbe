"""First threads that have ended while others of their process go on.

The kernel keeps such a thread as a zombie until the others have ended too: its name, its signal mask,
and the status that it ended with, which is the process's in the end if nobody calls exit_group(2).

No C half: the tracer sees at a freeze who will never come to rest.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from ..ids import Vpid
from ..linux.native import check, lib, new_error
from ..linux.procfs import read, stat_fields, status
from ..linux.program import Program
from ..linux.tracee import tasks
from ..shapes import U8, U64, NamesLiving, Word
from ..view.build import Build, Stage
from ..view.frozen import FrozenPod, FrozenProcess
from .common.rights import Rights, give, of_ended

NAME = "first_thread"

_PR_SET_NAME = 15
_STAT_FIRST, _STAT_EXIT_CODE = 3, 52  # proc(5)


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    name: Word
    status: U8
    mask: U64
    rights: Rights | None = None
    """In a pod that has privilege: whose /proc/PID is, and who may signal the process."""


def capture(pod: FrozenPod) -> list[State]:
    return [_capture(process) for process in pod.processes if process.first_has_ended]


def _capture(process: FrozenProcess) -> State:
    proc = f"/proc/{process.rpid}"
    code = int(stat_fields(f"{proc}/stat")[_STAT_EXIT_CODE - _STAT_FIRST])
    mask = int(status(process.rpid)["SigBlk"], 16)
    name = read(f"{proc}/comm").rstrip("\n")
    return State(process.vpid, name, code >> 8, mask, of_ended(process.rpid))


def restore(states: list[State], build: Build) -> None:
    for state in states:
        # When all is done for the process: nothing can be done by this thread any more.
        build.at(Stage.RESUME, build.loads.append, functools.partial(_end, state, build))


def _end(state: State, build: Build) -> None:
    process = build.process(state.vpid)
    program = Program()
    program.call("prctl", _PR_SET_NAME, program.string(state.name))
    process.run(program)
    if state.rights is not None:
        dumpable = {task.vpid: task.dumpable == 1 for task in tasks(build.handle)}
        give(state.rights, process.leader, dumpable=dumpable[Vpid(state.vpid)])
    ending = (process.rpid, state.status, state.mask)
    check(lib.zt_loop_end_first(build.handle, *ending, err := new_error()), err)
    process.first_has_ended = True
