"""Locks on files: flock(2), POSIX record locks and open file description locks (fcntl(2)).

A lock of a description (flock, OFD) is taken again on the description. A POSIX lock belongs to a
process, which takes it itself. A lock that somebody outside has taken meanwhile fails the restore.
Requests that were waiting for a lock are calls that are issued again.

Not carried: leases, which are refused.

No C half: F_GETLK tells a process id, which the fdtable room's C half translates.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..linux.program import Program
from ..shapes import Fd, NamesFile, NamesLivingOrNone, OneOf, Size
from ..view.build import Stage
from .common.file import restoring, unsupported
from .room import Whole, bad

if TYPE_CHECKING:
    from ..view.build import Build, BuildProcess
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "file_lock"

_LINE = re.compile(
    r"\d+: (?P<kind>\S+)\s+(?P<sort>\S+)\s+(?P<access>READ|WRITE)\s+"
    r"-?\d+ [0-9a-f]+:[0-9a-f]+:\d+ (?P<start>\d+) (?P<end>\d+|EOF)"
)
_INODE = re.compile(r" [0-9a-f]+:[0-9a-f]+:(\d+) ")
_FLOCK = struct.Struct("=hh4xqqi4x")  # struct flock on 64-bit
_F_OFD_SETLK = 37


@dataclass(frozen=True)
class State:
    file_id: NamesFile
    kind: Annotated[str, OneOf("flock", "posix", "ofd")]
    """`flock`, `posix` or `ofd`."""
    vpid: NamesLivingOrNone
    """The process that holds a POSIX lock, and may serve for the others; 0 if none."""
    fd: Fd
    exclusive: bool
    start: Size
    length: Size
    """0 is up to the end of the file, however it grows."""


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        if state.kind == "posix" and not state.vpid:
            raise bad("a POSIX lock is held by nobody", "a process")
        if state.start + state.length >= 1 << 63:
            raise bad("a lock goes beyond the end of any file")


def capture(pod: FrozenPod) -> list[State]:
    locked = _locked_inodes()
    found: dict[State, None] = {}
    for process in pod.processes:
        for fd in process.fds.values():
            if fd.file.stat.st_ino not in locked or fd.file.flags & os.O_PATH:
                continue
            # Each process sees its own POSIX locks only, so one holder's fdinfo is not enough.
            for line in _lines(f"{process.proc}/fdinfo/{fd.number}"):
                state = _parse(fd.file, line, process.vpid, fd.number)
                if not any(_same(state, other) for other in found):
                    found[state] = None
    return list(found)


def restore(states: list[State], build: Build) -> None:
    for state in states:
        if state.kind == "posix" and build.contended:
            build.at(Stage.RESUME, _take_as_owner, state, build)
        elif state.kind == "posix":
            build.at(Stage.OWN, _program, state, build)
        else:
            build.at(Stage.FILES, _lock, state, build)


def _locked_inodes() -> set[int]:
    """Inode numbers with a lock; device numbers differ between file systems' views of them."""
    with open("/proc/locks", encoding="ascii") as lines:
        return {int(found[1]) for line in lines if (found := _INODE.search(line))}


def _lines(path: str) -> Iterator[str]:
    with contextlib.suppress(FileNotFoundError), open(path, encoding="ascii") as lines:
        for line in lines:
            if line.startswith("lock:"):
                yield line.removeprefix("lock:").strip()


def _parse(file: FrozenFile, line: str, vpid: int, fd: int) -> State:
    found = _LINE.match(line)
    kind = {"FLOCK": "flock", "POSIX": "posix", "OFDLCK": "ofd"}.get(found["kind"] if found else "")
    if found is None or kind is None or found["sort"] == "MANDATORY":
        raise unsupported(
            file,
            "holds a lease",
            needed="flock, POSIX or open file description locks",
            found=f"{line} on {file.link}",
            do="let the program give the lease back (fcntl F_SETLEASE, F_UNLCK)",
        )
    start = int(found["start"])
    length = 0 if found["end"] == "EOF" else int(found["end"]) - start + 1
    return State(file.id, kind, vpid, fd, found["access"] == "WRITE", start, length)


def _same(one: State, other: State) -> bool:
    """The same lock seen through another fd of its owner."""
    if one.kind == "posix" and one.vpid != other.vpid:
        return False
    mine = (one.file_id, one.kind, one.exclusive, one.start, one.length)
    return mine == (other.file_id, other.kind, other.exclusive, other.start, other.length)


def _struct_flock(state: State) -> bytes:
    kind = fcntl.F_WRLCK if state.exclusive else fcntl.F_RDLCK
    return _FLOCK.pack(kind, os.SEEK_SET, state.start, state.length, 0)


def _lock(state: State, build: Build) -> None:
    do = "end what holds the lock now, then restore again"
    with restoring(NAME, Stage.FILES, f"the {state.kind} lock of file {state.file_id}", do):
        fd = os.dup(build.file(state.file_id))
        build.or_when_free(partial(_take, state, fd), partial(os.close, fd))


def _take(state: State, fd: int) -> None:
    """Lock the description of `fd`, which is ours, and closed once that is done."""
    if state.kind == "flock":
        fcntl.flock(fd, (fcntl.LOCK_EX if state.exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    else:
        fcntl.fcntl(fd, _F_OFD_SETLK, _struct_flock(state))
    os.close(fd)


def _program(state: State, build: Build) -> None:
    """POSIX locks belong to a process, so it locks by itself."""
    program = build.process(state.vpid).program(Stage.OWN)
    program.call("fcntl", state.fd, fcntl.F_SETLK, program.data(_struct_flock(state)))


def _take_as_owner(state: State, build: Build) -> None:
    """The same, now or when its former self is gone."""
    build.or_when_free(partial(_lock_in_process, state, build.process(state.vpid)))


def _lock_in_process(state: State, process: BuildProcess) -> None:
    program = Program()
    lock = program.data(_struct_flock(state))
    row = program.call("fcntl", state.fd, fcntl.F_SETLK, lock, may_fail=True)
    result = process.run(program)[row]
    if result < 0:
        raise OSError(-result, os.strerror(-result))
