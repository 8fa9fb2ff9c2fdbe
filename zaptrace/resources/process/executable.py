"""What a process executes: a file at its path, or one that has lost its name, or never had one.

The file of a process is what /proc/PID/exe leads to. One at its path has to be the same wherever the
pod goes on. One that was removed or replaced, or that is a memfd, travels in the image: it is made
anew without a name (which leaves it that of the old one, as /proc shows it, where that is free), and
executed through a descriptor of ours. Mappings of it are then of that very inode.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated

from ...errors import UnsupportedResource
from ...shapes import U64, PartOrNone, PathOrNone, Range, Size
from ...view.build import Build, Stage
from ...view.frozen import FrozenPod, FrozenProcess
from ..common import nameless, sameness
from ..common.content import Runs, load, refuse_wrong, save
from ..common.file import closed_on_failure, opened, restoring
from ..common.inode import Inode, Inodes
from ..common.permission import Permission
from ..room import Whole

_MEMFD = b"/memfd:"
_F_SEAL_EXEC, _MFD_NOEXEC_SEAL = 0x20, 0x8


@dataclass(frozen=True)
class Removed:
    """A file that has no name (any more)."""

    device: U64
    inode: U64
    permission: Permission
    seals: Annotated[int, Range(-1, 0xFFFF_FFFF)]
    """Of a memfd; -1 for what was a file."""
    size: Size
    runs: Runs
    part: PartOrNone
    """Empty where a descriptor leads to it, whose room carries it."""


@dataclass(frozen=True)
class Executable:
    path: PathOrNone
    """The name; for a file without one the name that it had."""
    print: sameness.Print | None
    removed: Removed | None


def verify(executables: Iterable[Executable], whole: Whole) -> None:
    """Mappings may be of one that is in the image; a descriptor's room gives the others."""
    given = whole.seen.given.setdefault("shared object", set())
    for one in executables:
        if one.removed is not None and one.removed.part:
            given.add((one.removed.device, one.removed.inode))
            refuse_wrong(one.removed.runs, one.removed.size, one.removed.part, whole)


NOTHING = Executable(b"", None, None)
"""What a zombie executes."""


# -- capture


class Executables:
    """Those of a pod's processes; each file is looked at once."""

    def __init__(self, pod: FrozenPod) -> None:
        self._pod = pod
        self._known: dict[Inode, Executable] = {}

    def of(self, process: FrozenProcess) -> Executable:
        inode = Inodes.of(self._pod).executed_by(process)
        if inode not in self._known:
            self._known[inode] = self._look(process, inode)
        return self._known[inode]

    def _look(self, process: FrozenProcess, inode: Inode) -> Executable:
        status = inode.status
        assert status is not None
        if inode.path is not None:
            print_ = sameness.take(inode.path, status, sameness.CONSTANT, code=True)
            return Executable(inode.path, print_, None)
        if inode.hidden:
            raise _unreadable(process, "it cannot be reached by its name")
        try:
            with opened(f"{process.proc}/exe", os.O_RDONLY) as fd:
                return Executable(inode.was, None, self._save(inode, status, fd))
        except OSError as error:
            raise _unreadable(process, error.strerror or str(error)) from error

    def _save(self, inode: Inode, status: os.stat_result, fd: int) -> Removed:
        part = ""
        runs: list[list[int]] = []
        if not inode.files:
            part = f"executable-{inode.key[0]:x}-{inode.key[1]}"
            with self._pod.image.part(part) as writer:
                runs = save(fd, writer)
        is_memfd = inode.was.startswith(_MEMFD)
        return Removed(
            device=inode.key[0],
            inode=inode.key[1],
            permission=Permission.of(status),
            seals=fcntl.fcntl(fd, fcntl.F_GET_SEALS) if is_memfd else -1,
            size=status.st_size,
            runs=runs,
            part=part,
        )


def _unreadable(process: FrozenProcess, found: str) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot checkpoint process {process.vpid} ({process.comm}): "
        "its executable was removed or replaced, and cannot be read",
        needed=f"the file that it was started from, {process.exe}, to carry it in the image",
        found=found,
        do="restart the program, which starts the new one",
    )


# -- restore


def difference(executable: Executable) -> str | None:
    """How what is at its path differs from what it was, or why it cannot be told."""
    if executable.print is None:
        return None
    try:
        return sameness.difference(executable.print, executable.path)
    except OSError as error:
        return error.strerror or str(error)


def make(executable: Executable, build: Build) -> None:
    """Provide the inode of one that was removed, if no descriptor of the pod leads to it."""
    removed = executable.removed
    if removed is None or not removed.part:
        return
    what = f"the executable {os.fsdecode(executable.path)}, which has no name any more"
    with restoring("process", Stage.SHARED, what):
        fd = _memfd(executable, removed, build) if removed.seals >= 0 else None
        if fd is None:
            fd = _file(executable, removed, build)
        if fd is None:
            fd = _memfd(executable, removed, build)
        build.provide_inode(removed.device, removed.inode, fd)


def _memfd(executable: Executable, removed: Removed, build: Build) -> int:
    name = executable.path.removeprefix(_MEMFD) if removed.seals >= 0 else executable.path
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    flags |= _MFD_NOEXEC_SEAL if removed.seals >= 0 and removed.seals & _F_SEAL_EXEC else 0
    fd = os.memfd_create(os.fsdecode(os.path.basename(name)), flags)
    with closed_on_failure(fd):
        load(build, removed.part, removed.runs, removed.size, fd, whole=True)
        removed.permission.give(fd)
        if removed.seals > 0:
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, removed.seals)
    return fd


def _file(executable: Executable, removed: Removed, build: Build) -> int | None:
    """Open for reading only: what somebody may write is not executed. None: it cannot be, there."""
    with nameless.regular(executable.path, quiet=build.rehearsal) as file:
        if os.fstatvfs(file.fd).f_flag & os.ST_NOEXEC:
            return None
        load(build, removed.part, removed.runs, removed.size, file.fd, whole=True)
        fd = file.open(os.O_RDONLY)
        with closed_on_failure(fd):
            removed.permission.give(fd)
        return fd


@contextlib.contextmanager
def executable_by(executable: Executable, build: Build) -> Iterator[bytes]:
    """The path to give to execve(2)."""
    removed = executable.removed
    if removed is None:
        yield executable.path
        return
    fd = build.inode(removed.device, removed.inode)
    assert fd is not None
    path = b"/proc/%d/fd/%d" % (os.getpid(), fd)
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    if mode & stat.S_IXUSR:
        yield path
        return
    os.fchmod(fd, mode | stat.S_IXUSR)
    try:
        yield path
    finally:
        os.fchmod(fd, mode)
