"""Locks on files: flock(2), POSIX record locks and open file description locks (fcntl(2)).

A lock of a description (flock, OFD) is taken again on the description; flock(2) by the process that
took it, for the kernel shows which one that was. A POSIX lock belongs to a process, which takes it
itself; one that was taken by another that shared its descriptors (CLONE_FILES) and has ended is taken by
such a one. A lock that somebody outside has taken meanwhile fails the restore. Requests that were waiting
for a lock are calls that are issued again.

Locks are read from fdinfo alone: /proc/locks leaves out, in a pid namespace, what processes took that
have ended (the flock(1) of a shell script), and what was taken outside.

No C half: F_GETLK tells a process id, which the fdtable room's C half translates.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import struct
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from ..linux.program import Argument, Program, Row
from ..shapes import Names, NamesFile, OneOf, Range, Size
from ..view.build import Stage
from .common import flocking, leasing, lending
from .common.ending import CLONE_FILES, short_lived
from .common.file import restoring, unsupported
from .room import Whole, bad

if TYPE_CHECKING:
    from ..view.build import Build, BuildProcess
    from ..view.frozen import FrozenFile, FrozenPod, FrozenProcess

NAME = "file_lock"

_LINE = re.compile(
    r"\d+: (?P<kind>\S+)\s+(?P<sort>\S+)\s+(?P<access>READ|WRITE|UNLCK)\s+"
    r"(?P<pid>-?\d+) [0-9a-f]+:[0-9a-f]+:\d+ (?P<start>\d+) (?P<end>\d+|EOF)"
)
_KINDS = {"FLOCK": "flock", "POSIX": "posix", "OFDLCK": "ofd"}
_DO = "end what holds the lock now, then restore again"
_FLOCK = struct.Struct("=hh4xqqi4x")  # struct flock on 64-bit
_F_OFD_SETLK = 37


@dataclass(frozen=True)
class State:
    file_id: NamesFile
    kind: Annotated[str, OneOf("flock", "posix", "ofd")]
    """`flock`, `posix` or `ofd`."""
    vpid: Annotated[int, Names("process", "thread", but=(0,))]
    """Who holds a POSIX lock, or took an flock; 0 for one who has ended, and of OFD locks."""
    fd: Annotated[int, Range(-1, 1 << 30)]
    """By which that process knows the file; -1 if it does not any more."""
    exclusive: bool
    start: Size
    length: Size
    """0 is up to the end of the file, however it grows."""
    by_ended: bool = False
    """A POSIX lock of this process's descriptors, taken by another that had them, too, and has ended."""
    late: bool = False
    """Of a file that may come at the thaw only, as a writer's lease is on it: a process locks it then."""


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        if state.kind == "posix" and not state.vpid:
            raise bad("a POSIX lock is held by nobody", "a process")
        if state.start + state.length >= 1 << 63:
            raise bad("a lock goes beyond the end of any file")


def capture(pod: FrozenPod) -> list[State]:
    found: dict[State, None] = {}
    tables = {process.leader.files: process for process in reversed(pod.processes)}
    for process in (one for one in pod.processes if tables[one.leader.files] is one):
        for fd in process.fds.values():
            for line in fd.locks:
                if leasing.is_lease(line):
                    continue
                state = _parse(pod, fd.file, line, process, fd.number)
                if not any(_same(state, other) for other in found):
                    found[state] = None
    return list(found)


def restore(states: list[State], build: Build) -> None:
    for state in states:
        if state.fd >= 0:
            build.at(Stage.OWN, _take_as_owner, state, build)
        elif state.vpid:
            build.at(Stage.THREADS, _take_by_a_copy, state, build)
        else:
            build.at(Stage.FILES, _lock, state, build)


def _parse(pod: FrozenPod, file: FrozenFile, line: str, process: FrozenProcess, fd: int) -> State:
    vpid: int = process.vpid
    by_ended = False
    found = _LINE.match(line)
    kind = _KINDS.get(found["kind"] if found else "")
    if found is None or kind is None or found["sort"] == "MANDATORY":
        raise _unknown(file, line)
    taker = pod.vpid(int(found["pid"])) or 0
    if kind == "posix":
        sharing = {p.vpid for p in pod.processes if p.leader.files == process.leader.files}
        by_ended = taker not in sharing
        vpid = vpid if by_ended else taker
    else:
        vpid, fd = 0, -1
    if kind == "flock" and taker in {p.vpid for p in pod.processes}:
        vpid, fd = taker, _number_of(file, taker)
    late = leasing.is_writers(file)
    if late and fd < 0 and file.holders:
        vpid, fd = file.holders[0][0].vpid, file.holders[0][1]
    start = int(found["start"])
    length = 0 if found["end"] == "EOF" else int(found["end"]) - start + 1
    return State(file.id, kind, vpid, fd, found["access"] == "WRITE", start, length, by_ended, late)


def _unknown(file: FrozenFile, line: str) -> Exception:
    return unsupported(
        file,
        "holds a lock of a kind that no room carries",
        needed="flock, POSIX or open file description locks, or a lease",
        found=f"{line} on {file.link}",
        do="let the program give it back",
    )


def _number_of(file: FrozenFile, vpid: int) -> int:
    """The first number that a process knows a file by, or -1."""
    return min((n for process, n in file.holders if process.vpid == vpid), default=-1)


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
    """By us."""
    with restoring(NAME, Stage.FILES, f"the {state.kind} lock of file {state.file_id}", _DO):
        fd = os.dup(build.file(state.file_id))
        build.or_when_free(partial(_take, state, fd), partial(os.close, fd))


def _take(state: State, fd: int) -> None:
    """Lock the description of `fd`, which is ours, and closed once that is done.

    An flock whose taker has ended is taken by one that ends, for the kernel shows who it was.
    """
    if state.kind == "flock":
        flocking.take_as_one_who_ended(fd, state.exclusive)
    else:
        fcntl.fcntl(fd, _F_OFD_SETLK, _struct_flock(state))
    os.close(fd)


def _row(state: State, program: Program, fd: Argument) -> Row:
    if state.kind == "flock":
        return flocking.row(program, fd, state.exclusive)
    lock = program.data(_struct_flock(state))
    command = _F_OFD_SETLK if state.kind == "ofd" else fcntl.F_SETLK
    return program.call("fcntl", fd, command, lock, may_fail=True)


def _take_as_owner(state: State, build: Build) -> None:
    """By the process itself, now or when its former self is gone."""
    with restoring(NAME, Stage.OWN, f"the {state.kind} lock of process {state.vpid}", _DO):
        process = build.process(state.vpid)
        take = partial(_lock_in_process, state, process)
        if state.by_ended:
            take = partial(_lock_as_one_who_ended, state, process)
        if state.late and build.no_way_back:
            build.at_thaw(take)
        else:
            build.or_when_free(take)


def _lock_in_process(state: State, process: BuildProcess) -> None:
    program = Program()
    row = _row(state, program, state.fd)
    lending.succeeded(process.run(program)[row])


def _lock_as_one_who_ended(state: State, process: BuildProcess) -> None:
    with short_lived(process, CLONE_FILES) as other:
        _lock_in_process(state, other or process)


def _take_by_a_copy(state: State, build: Build) -> None:
    """It has closed the file since. It can be given a descriptor until its own have come: if its
    former self has the lock until later, it is taken as of one that has ended."""
    process = build.process(state.vpid)
    (fd,) = build.pass_files(process, build.files([state.file_id]))
    program = Program()
    row = _row(state, program, fd)
    program.call("close", fd)
    result = process.run(program)[row]
    if build.contended and result == -errno.EAGAIN:
        _lock(state, build)
        return
    with restoring(NAME, Stage.THREADS, f"the flock lock of process {state.vpid}", _DO):
        lending.succeeded(result)
