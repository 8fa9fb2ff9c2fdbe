"""eventfd(2): a counter, and whether reads take one or all of it.

Not carried: nothing. Kernels before 6.5 do not show the semaphore flag; there it is found by
adding and taking, which leaves the count as it was.

No C half: a counter names nothing.
"""

from __future__ import annotations

import os
import select
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..shapes import U64
from ..view.build import Stage
from .common.file import Description, described, finish, restoring

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "eventfd"


@dataclass(frozen=True)
class State(Description):
    count: U64
    semaphore: bool


def claims(file: FrozenFile) -> bool:
    return file.link == "anon_inode:[eventfd]"


def capture(pod: FrozenPod) -> list[State]:
    states = []
    for file in pod.files(NAME):
        count = int(file.info["eventfd-count"][0], 16)
        shown = file.info.get("eventfd-semaphore")
        semaphore = _probe(file.local, count) if shown is None else bool(int(shown[0]))
        states.append(State(**described(pod, file), count=count, semaphore=semaphore))
    return states


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _make, state, build)


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "an eventfd"):
        flags = os.EFD_CLOEXEC | (os.EFD_SEMAPHORE if state.semaphore else 0)
        fd = os.eventfd(0, flags)
        if state.count:
            os.eventfd_write(fd, state.count)
        finish(build, state, fd)


def _probe(fd: int, count: int) -> bool:
    """True if a read takes 1; `count` is what it holds, and holds again afterwards."""
    if count < 2:
        os.eventfd_write(fd, 2 - count)
    semaphore = os.eventfd_read(fd) == 1
    left = max(count, 2) - 1 if semaphore else 0
    if left < count:
        os.eventfd_write(fd, count - left)
    elif left > count and select.select([fd], [], [], 0)[0]:
        os.eventfd_read(fd)
    return semaphore
