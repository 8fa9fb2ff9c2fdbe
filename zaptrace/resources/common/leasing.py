"""Leases of files (fcntl F_SETLEASE), as fdinfo shows them.

Whoever opens a file breaks the lease of a writer on it, and its holder is told: so nothing of ours may
open one, not even O_NONBLOCK. What is to be read is read by the descriptor that there is. Where the pod's
former self may live on this host still, another file stands in for it until the thaw.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ...linux import outside, procfs
from ...linux.program import Program
from ...shapes import Fd, NamesLiving
from .lending import lend, succeeded

if TYPE_CHECKING:
    from ...view.build import Build, BuildProcess
    from ...view.frozen import FrozenFile

READ, WRITE, GONE = "read", "write", "gone"

_LINE = re.compile(
    r"\d+: LEASE\s+(?P<sort>ACTIVE|BREAKING)\s+(?P<access>READ|WRITE|UNLCK)\s+(?P<pid>-?\d+) "
)


@dataclass(frozen=True)
class Lease:
    kind: str
    """`read` or `write`."""
    breaking: str
    """What it has to become, `read` or `gone`, as somebody wants the file; empty if nobody does."""
    rpid: int
    """Who took it."""


@dataclass(frozen=True)
class Holder:
    """A number by which a process has the open file."""

    vpid: NamesLiving
    fd: Fd


def is_lease(line: str) -> bool:
    """Of those that fdinfo shows of locks."""
    return " LEASE " in line


def lease_of(file: FrozenFile) -> Lease | None:
    """The one that the pod has by this open file; one file may have several readers' leases."""
    for line in file.info.get("lock", []):
        if found := _LINE.match(line):
            target = {"READ": READ, "WRITE": WRITE, "UNLCK": GONE}[found["access"]]
            if found["sort"] == "ACTIVE":
                return Lease(target, "", int(found["pid"]))
            kind = WRITE if target == READ or _keeps_readers_out(file) else READ
            return Lease(kind, target, int(found["pid"]))
    return None


def is_writers(file: FrozenFile) -> bool:
    lease = lease_of(file)
    return lease is not None and lease.kind == WRITE


def writers(file: FrozenFile) -> list[Holder]:
    """Who has the open file, if a writer's lease is on it; empty if there is none."""
    if not is_writers(file):
        return []
    return [Holder(process.vpid, number) for process, number in file.holders]


def through(file: FrozenFile) -> int | None:
    """What a file that may not be opened is read by: a descriptor that shares its offset, or -1 where
    it was opened for writing only. None if it may be opened."""
    if not is_writers(file):
        return None
    return -1 if file.flags & os.O_ACCMODE == os.O_WRONLY else file.local


def may_be_held(build: Build, path: bytes) -> bool:
    """Has the pod's former self the lease on this file still? To open it would tell."""
    if build.rehearsal or build.no_way_back:
        return True
    there = outside.stat(path)
    device = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino} "
    try:
        lines = procfs.read("/proc/locks").splitlines()
    except OSError:  # hidden, or a kernel without locks
        return False
    return build.contended and any(is_lease(line) and device in line for line in lines)


def arrive(build: Build, holders: list[Holder], open_it: Callable[[], int]) -> None:
    """Just before the thaw: what stood in for an open file is replaced by what `open_it` opens."""
    fd = open_it()
    try:
        for vpid in dict.fromkeys(holder.vpid for holder in holders):
            numbers = [holder.fd for holder in holders if holder.vpid == vpid]
            process = build.process(vpid)
            lend(process, fd, partial(_replace, process, numbers))
    finally:
        os.close(fd)


def _replace(process: BuildProcess, numbers: list[int], theirs: int) -> None:
    ask = Program()
    rows = [ask.call("fcntl", number, fcntl.F_GETFD) for number in numbers]
    found = process.run(ask)
    change = Program()
    results = [
        change.call("dup3", theirs, number, os.O_CLOEXEC * found[row], may_fail=True)
        for number, row in zip(numbers, rows, strict=True)
    ]
    changed = process.run(change)
    for row in results:
        succeeded(changed[row])


def _keeps_readers_out(file: FrozenFile) -> bool:
    """Asked of a lease that has to go anyway: this changes nothing about it."""
    try:
        os.close(os.open(f"/proc/self/fd/{file.local}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))
    except BlockingIOError:
        return True
    except OSError:  # its mode forbids that
        return bool(file.flags & os.O_ACCMODE)
    return False
