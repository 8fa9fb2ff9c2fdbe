"""Directories that raise signals (fcntl F_NOTIFY).

The kernel keeps for who, by which descriptor, and what a directory is watched for; it tells nobody, so
that is noted when it is asked for. A watch ends when its process closes the open file, by whichever
number. It is put on last of all by the process itself, as a restore makes and moves files.

Refused: a watch that ends with the first signal, as nobody can tell whether it was sent; one of what is
read in a directory (DN_ACCESS), for it would tell of the checkpoint. Not carried: that a watch ended as
another number of its open file was closed, or asked for nothing.
"""

from __future__ import annotations

import fcntl
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..linux.program import Program
from ..shapes import Fd, NamesLiving, Range
from ..view.build import Stage
from .common.file import owner_of, unsupported
from .room import Whole, bad

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFd, FrozenPod

NAME = "dnotify"

_KEY, _MASK = struct.Struct("=ii"), struct.Struct("=I")
_EVENTS = fcntl.DN_MODIFY | fcntl.DN_CREATE | fcntl.DN_DELETE | fcntl.DN_RENAME | fcntl.DN_ATTRIB


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    fd: Fd
    events: Annotated[int, Range(1, _EVENTS)]
    """DN_MODIFY and the like."""


def is_note(key: bytes, value: bytes) -> bool:
    return (len(key), len(value)) == (_KEY.size, _MASK.size)


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("the watched directory", [(state.vpid, state.fd) for state in states])
    for state in states:
        if state.events & ~_EVENTS:
            raise bad("a directory is watched for what it cannot be", hex(_EVENTS))


def capture(pod: FrozenPod) -> list[State]:
    found = []
    for vpid, fd, mask in _watches(pod):
        if not mask & fcntl.DN_MULTISHOT:
            raise unsupported(
                fd.file,
                "is a directory that raises one signal and no more",
                needed="one that is watched by F_NOTIFY with DN_MULTISHOT",
                found=f"{fd.file.link}, of which nobody can tell whether it was sent",
                do="let the program use inotify(7), or close the directory",
            )
        if mask & fcntl.DN_ACCESS:
            raise unsupported(
                fd.file,
                "is a directory that raises signals when a file in it is read",
                needed="one that is watched for something else than DN_ACCESS",
                found=f"{fd.file.link}; a checkpoint reads files",
                do="let the program use inotify(7), or close the directory",
            )
        found.append(State(vpid, fd.number, mask & _EVENTS))
    return found


def _watches(pod: FrozenPod) -> Iterator[tuple[int, FrozenFd, int]]:
    """Whoever watches a directory is its owner by that, unless it has another one already."""
    living = {process.vpid: process for process in pod.processes}
    for key, value in pod.store(NAME).items():
        vpid, number = _KEY.unpack(key)
        process = living.get(vpid)
        fd = process.fds.get(number) if process else None
        if fd is not None and stat.S_ISDIR(fd.file.stat.st_mode) and owner_of(fd.file):
            yield vpid, fd, _MASK.unpack(value)[0]


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.RESUME, _put_off, state, build)


def _put_off(state: State, build: Build) -> None:
    build.at_thaw(partial(_watch, state, build))


def _watch(state: State, build: Build) -> None:
    program = Program()
    program.call("fcntl", state.fd, fcntl.F_NOTIFY, state.events | fcntl.DN_MULTISHOT)
    build.process(state.vpid).run(program)
