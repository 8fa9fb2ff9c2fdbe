"""pidfd_open(2): a process, or (PIDFD_THREAD) a thread, that goes on being named after its end.

The kernel keeps: which one, O_NONBLOCK, and how it ended once it was waited for (Linux 6.15).
What a pidfd shows follows from that: readable when it has ended, hung up when it was waited for.
One that was waited for is made again from a process of ours that ends the same way; pidfds of one
process share an inode (Linux 6.9), so those of one that is gone are made from the same.

Not carried: a process outside of the pod (refused; pidfd_open cannot name one, but SO_PEERPIDFD
can), the core-dump mark of one that is gone.
"""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ..ids import SUPERVISOR, Vpid
from ..shapes import U16, U32, Names
from ..view.build import BuildProcess, Stage
from .common.ending import end_as
from .common.file import Description, described, finish, restoring, unsupported
from .room import Whole, bad

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "pidfd"

_THREAD = os.O_EXCL  # PIDFD_THREAD
_GONE = -1
"""What fdinfo shows for one that was waited for."""
_GET_INFO = 0xC040FF0B  # PIDFD_GET_INFO with the first struct pidfd_info, of 64 bytes
_INFO = struct.Struct("<Q52xi")  # mask, exit_code
_INFO_EXIT = 1 << 3
_ANY_EXECUTABLE = "/proc/self/exe"


@dataclass(frozen=True)
class State(Description):
    vid: Annotated[int, Names("process", "thread", but=(0,))]
    """The process or thread; 0 if it was waited for."""
    gone: U32
    """Which of those that were waited for, counted from 1; else 0."""
    status: U16
    """How that one ended, as waitpid(2) tells it; 0 where the kernel does not know any more."""


def claims(file: FrozenFile) -> bool:
    return file.link == "anon_inode:[pidfd]"


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        if bool(state.vid) == bool(state.gone):
            raise bad("a pidfd is of no process, or of two", "one that is there, or is gone")


def capture(pod: FrozenPod) -> list[State]:
    gone: dict[int, int] = {}
    return [_capture(pod, file, gone) for file in pod.files(NAME)]


def restore(states: list[State], build: Build) -> None:
    if any(state.flags & _THREAD for state in states):
        build.at(Stage.CLAIM, _claim_threads)
    gone: dict[int, list[State]] = {}
    for state in states:
        if state.gone:
            gone.setdefault(state.gone, []).append(state)
        else:
            build.at(Stage.FILES, _open, state, build)
    for alike in gone.values():
        build.at(Stage.SHARED, _open_gone, alike, build)


# capture


def _capture(pod: FrozenPod, file: FrozenFile, gone: dict[int, int]) -> State:
    rid = int(file.info["Pid"][0])
    if rid == _GONE:
        which = gone.setdefault(file.stat.st_ino, len(gone) + 1)
        return State(**described(pod, file), vid=0, gone=which, status=_end(file.local))
    vid = pod.vpid(rid)
    if vid is None or vid == SUPERVISOR:
        raise unsupported(
            file,
            "is a pidfd of a process outside of the pod",
            needed="a process or thread of the pod",
            found=f"process {rid} of this host",
            do="let the program close it; a socket gives one away as SO_PEERPIDFD",
        )
    return State(**described(pod, file), vid=vid, gone=0, status=0)


def _end(fd: int) -> int:
    """The wait status of one that is gone, which the kernel tells since 6.15."""
    try:
        told = fcntl.ioctl(fd, _GET_INFO, _INFO.pack(_INFO_EXIT, 0))
    except OSError:
        return 0
    mask, status = _INFO.unpack(told)
    return status if mask & _INFO_EXIT else 0


# restore


def _claim_threads() -> None:
    do = "restore it on a host with Linux 6.9 or newer"
    with restoring(NAME, Stage.CLAIM, "a pidfd of a thread", do):
        os.close(os.pidfd_open(os.getpid(), _THREAD))


def _open(state: State, build: Build) -> None:
    with restoring(NAME, Stage.FILES, f"a pidfd of {state.vid}"):
        fd = os.pidfd_open(build.rpid(state.vid), state.flags & _THREAD)
        finish(build, state, fd)


def _open_gone(states: list[State], build: Build) -> None:
    """A process for a moment, whose end nobody in the pod sees."""
    rpid = build.launch(_ANY_EXECUTABLE, 0)
    with restoring(NAME, Stage.SHARED, "a pidfd of a process that is gone"):
        for state in states:
            finish(build, state, os.pidfd_open(rpid, state.flags & _THREAD))
    end_as(states[0].status, BuildProcess(build.handle, Vpid(0), rpid), build)
