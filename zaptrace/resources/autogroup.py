"""The nice value that a session has among all sessions (/proc/PID/autogroup, sched(7)).

setsid(2) makes a group of the scheduler's, which the session's processes are in; its number is the
host's. A new one has nice 0. Not carried: to a kernel without CONFIG_SCHED_AUTOGROUP (a warning).

No C half: it is told, and set, by a file.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from typing import Annotated

from ..errors import RestoreError
from ..log import log
from ..shapes import NamesLiving, Range
from ..view.build import Build, Stage
from ..view.frozen import FrozenPod

NAME = "autogroup"

_SHOWN = re.compile(r"/autogroup-\d+ nice (-?\d+)\n")
_PATIENCE_S, _PAUSE_S = 20.0, 0.02
"""The kernel takes one wish in a tenth of a second, of all users' together."""


@dataclass(frozen=True)
class State:
    """Of a process whose session has another nice value than 0."""

    vpid: NamesLiving
    nice: Annotated[int, Range(-20, 19)]


def capture(pod: FrozenPod) -> list[State]:
    found = ((process.vpid, _nice(process.rpid)) for process in pod.processes)
    return [State(vpid, nice) for vpid, nice in found if nice]


def _nice(rpid: int) -> int | None:
    """None on a kernel without."""
    try:
        with open(f"/proc/{rpid}/autogroup", encoding="ascii") as file:
            shown = _SHOWN.fullmatch(file.read())
    except OSError:
        return None
    return int(shown[1]) if shown else None


def restore(states: list[State], build: Build) -> None:
    if not build.rehearsal:  # it would wait for its turn, and is thrown away
        for state in states:
            build.at(Stage.OWN, _set, state, build)


def _set(state: State, build: Build) -> None:
    """Once for each session: its first process sets it for the others, too."""
    rpid = build.rpid(state.vpid)
    there = _nice(rpid)
    if there is None:
        log.warning("this kernel has no nice value of sessions; that of %d is lost", state.vpid)
    elif there != state.nice:
        try:
            _write(f"/proc/{rpid}/autogroup", state.nice)
        except OSError as error:
            raise RestoreError(
                f"cannot restore the nice value of the session of process {state.vpid}",
                stage=Stage.OWN.name,
                resource=NAME,
                needed=f"nice {state.nice} (/proc/PID/autogroup)",
                found=error.strerror or str(error),
                do="restore where the limit on nice values (ulimit -e) allows it",
            ) from error


def _write(path: str, nice: int) -> None:
    end = time.monotonic() + _PATIENCE_S
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        while True:
            try:
                os.write(fd, b"%d" % nice)
                return
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
            time.sleep(_PAUSE_S)
    finally:
        os.close(fd)
