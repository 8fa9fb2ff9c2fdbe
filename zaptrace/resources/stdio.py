"""Standard input, output and error that were given to the pod at launch.

They belong to whoever started the pod: a pipe to another program, a terminal of the user's, the
log file of `zaptrace run -d`. What counts is which of the three it was; a restored pod is given
new ones. Any description of the same inode is that slot, also one that the program opened anew
through /dev/stdout.

Not carried: the data on its way in such a pipe (it is at the other end's mercy), file offsets and
status flags: the description is the user's own.

No C half: what is given at launch is held by whoever gave it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ..shapes import Flags, GivesFile, OneOf
from ..view.build import Stage

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "stdio"

_TIOCGDEV = 0x80045432

_MEMORY_DEVICES = 1
"""Major number of /dev/null and its like: the same everywhere, so they are opened by path."""


@dataclass(frozen=True)
class State:
    file_id: GivesFile
    slot: Annotated[str, OneOf("stdin", "stdout", "stderr")]
    """`stdin`, `stdout` or `stderr`."""
    flags: Flags


def claims(file: FrozenFile) -> bool:
    """True for the files given at launch; asked before every other room."""
    if _slot(file.pod, file) is None or file.flags & os.O_PATH:
        return False
    if stat.S_ISCHR(file.stat.st_mode):
        if os.major(file.stat.st_rdev) == _MEMORY_DEVICES:
            return False
        master = file.pod.tty_master
        if master is not None and file.stat.st_rdev == _slave_device(master):
            return False  # the pod's own pty: the tty room carries it
    return True


def capture(pod: FrozenPod) -> list[State]:
    return [
        State(file.id, slot, file.flags)
        for file in pod.files(NAME)
        if (slot := _slot(pod, file)) is not None
    ]


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _give, state, build)


def _slot(pod: FrozenPod, file: FrozenFile) -> str | None:
    return pod.stdio.get((file.stat.st_dev, file.stat.st_ino))


def _slave_device(master: int) -> int:
    device: int = struct.unpack("I", fcntl.ioctl(master, _TIOCGDEV, bytes(4)))[0]
    return device


def _give(state: State, build: Build) -> None:
    build.provide(state.file_id, os.dup(build.stdio[state.slot]))
