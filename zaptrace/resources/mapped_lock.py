"""Locks of flock(2) on files that are mapped, and open nowhere any more: a JVM's on its hsperfdata file.

Such a lock lasts as long as its open file description, which a mapping keeps as well as a descriptor
does. /proc/locks alone tells of it: who took it, and on which inode. At restore all that the pod maps
of that file is of one description, and who had taken the lock takes it again.

Not carried: of such files, open file description locks, of which nothing tells whose they are, locks
whose taker has ended, and leases. They are refused, unless a process that can be looked at has them.

No C half: the kernel shows no ids but in /proc/locks.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..errors import UnsupportedResource
from ..linux import outside, procfs
from ..linux.program import Program
from ..shapes import U64, NamesLiving, PathOrNone
from ..view.build import Stage
from .common import flocking, lending
from .common.file import restoring
from .common.inode import Inodes
from .room import Whole

if TYPE_CHECKING:
    from ..linux.procfs import Map
    from ..view.build import Build, BuildProcess
    from ..view.frozen import FrozenPod, FrozenProcess

NAME = "mapped_lock"

_LOCKS = "/proc/locks"
_LINE = re.compile(
    r"\d+: (?P<kind>FLOCK|OFDLCK|LEASE)\s+\w+\s+(?P<access>READ|WRITE|UNLCK)\s+"
    r"(?P<pid>-?\d+) (?P<major>[0-9a-f]+):(?P<minor>[0-9a-f]+):(?P<inode>\d+) "
)
_DO = "end what holds the lock now, then restore again"


@dataclass(frozen=True)
class _Lock:
    kind: str
    pid: int
    exclusive: bool
    device: int
    inode: int


@dataclass(frozen=True)
class State:
    vpid: NamesLiving
    """Who took it."""
    device: U64
    inode: U64
    path: PathOrNone
    """Empty for one without a name, which whoever carries its contents provides."""
    writable: bool
    exclusive: bool


def verify(states: list[State], whole: Whole) -> None:
    whole.refuse_twice("the lock of a mapped file", [(s.device, s.inode) for s in states])


# capture


def capture(pod: FrozenPod) -> list[State]:
    try:
        with open(_LOCKS, encoding="ascii") as file:
            held = Counter(_parsed(file))
    except OSError:  # hidden, or a kernel without locks
        return []
    takers: dict[int, FrozenProcess] = {process.rpid: process for process in pod.processes}
    held -= Counter(_parsed(_of_descriptors(pod)))
    found: dict[tuple[int, int], State] = {}
    for lock in _others_left_out(held, pod):
        taker = takers.get(lock.pid)
        m = _mapping_of(lock, [taker, *pod.processes] if taker else pod.processes)
        if m and (lock.kind != "FLOCK" or not taker):
            raise _nobodys(pod, lock, m)
        if m and taker:
            inode = Inodes.of(pod).mapped(m)
            path = inode.path if inode.path is not None else b""
            state = State(taker.vpid, *inode.key, path, "mw" in m.flags, lock.exclusive)
            found.setdefault(inode.key, state)
    return list(found.values())


def _parsed(lines: Iterator[str]) -> Iterator[_Lock]:
    """None of those that wait for a lock, whose lines have an arrow."""
    for line in lines:
        if found := _LINE.match(line):
            device = os.makedev(int(found["major"], 16), int(found["minor"], 16))
            exclusive = found["access"] == "WRITE"
            pid = int(found["pid"])
            yield _Lock(found["kind"], pid, exclusive, device, int(found["inode"]))


def _of_descriptors(pod: FrozenPod) -> Iterator[str]:
    """Of each open file description once."""
    descriptors = {fd.file.id: fd for process in pod.processes for fd in process.fds.values()}
    for fd in descriptors.values():
        yield from fd.locks


def _mapping_of(lock: _Lock, processes: list[FrozenProcess]) -> Map | None:
    for process in processes:
        for m in process.maps:
            if (m.device, m.inode) == (lock.device, lock.inode):
                return m
    return None


def _others_left_out(held: Counter[_Lock], pod: FrozenPod) -> list[_Lock]:
    """Those on what the pod maps, without those that somebody outside may have."""
    own: set[int] = {process.rpid for process in pod.processes}
    mapped = {(m.device, m.inode) for process in pod.processes for m in process.maps if m.inode}
    left = [lock for lock in held if (lock.device, lock.inode) in mapped]
    if all(lock.kind == "FLOCK" and lock.pid in own for lock in left):
        return left
    outside_too = set(_parsed(_of_strangers(own, mapped)))
    return [
        lock
        for lock in left
        if lock.pid in own
        or not (lock in outside_too or (lock.pid > 0 and os.path.exists(f"/proc/{lock.pid}")))
    ]


def _of_strangers(own: set[int], files: set[tuple[int, int]]) -> Iterator[str]:
    """Lines of their descriptors of these files, as far as they let us look."""
    for rpid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        if rpid in own:
            continue
        with contextlib.suppress(OSError):
            for fd in procfs.fds(rpid):
                with contextlib.suppress(OSError):
                    there = os.stat(f"/proc/{rpid}/fd/{fd}")
                    if (there.st_dev, there.st_ino) in files:
                        yield from procfs.fdinfo(rpid, fd).get("lock", [])


def _nobodys(pod: FrozenPod, lock: _Lock, m: Map) -> UnsupportedResource:
    what = {"FLOCK": "a lock of a process that has ended", "LEASE": "a lease"}.get(
        lock.kind, "an open file description lock"
    )
    return UnsupportedResource(
        f'cannot checkpoint pod "{pod.name}": a mapping keeps {what}',
        needed="the lock's file open, so that it shows whose the lock is",
        found=f"{m.name}, locked, mapped in the pod, and open nowhere",
        do="have the program keep the file open, or unlock it before it closes it",
    )


# restore


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _open, state, build)
        build.at(Stage.MEMORY, _take, state, build)  # when it is mapped


def _open(state: State, build: Build) -> None:
    """The description that is mapped wherever the pod maps this file."""
    if build.has_inode(state.device, state.inode):
        return
    with restoring(NAME, Stage.SHARED, f"the lock on {os.fsdecode(state.path)}"):
        flags = os.O_RDWR if state.writable else os.O_RDONLY
        fd = outside.open_file(state.path, flags, (stat.S_IFREG,))
    build.provide_inode(state.device, state.inode, fd)


def _take(state: State, build: Build) -> None:
    """By its process, now or when its former self is gone."""
    fd = build.inode(state.device, state.inode)
    assert fd is not None
    process, program = build.process(state.vpid), Program()
    (theirs,) = build.pass_files(process, [fd])
    row = flocking.row(program, theirs, state.exclusive)
    program.call("close", theirs)
    result = process.run(program)[row]
    with restoring(NAME, Stage.MEMORY, f"the lock on {os.fsdecode(state.path)}", _DO):
        if not build.contended or result != -errno.EAGAIN:
            lending.succeeded(result)
            return
        own = os.dup(fd)
        build.at_thaw(partial(_take_at_last, state, process, own), partial(os.close, own))


def _take_at_last(state: State, process: BuildProcess, fd: int) -> None:
    flocking.take_at_last(process, fd, state.exclusive)
    os.close(fd)
