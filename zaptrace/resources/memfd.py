"""memfd_create(2): name, contents, size, seals, mode, owner and how long what is written lives.

A memfd may be open more than once (/proc/self/fd reopens it) and be mapped; all descriptions and
mappings come back on one new memfd.

Not carried: memfd_secret(2), which is refused; the time of change (ctime).

No C half: a memfd is known by its descriptor alone.
"""

from __future__ import annotations

import fcntl
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ..shapes import I64, U32, U64, Length, NoNul, Part, Range, Size
from ..view.build import Stage
from .common import huge
from .common.content import Runs, load, refuse_wrong, save, save_by_reading
from .common.file import (
    Description,
    closed_on_failure,
    described,
    finish,
    reopen,
    restoring,
)
from .common.huge import PageSize
from .common.inode import Inodes
from .common.permission import Permission, open_anyway
from .room import Whole, bad

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "memfd"

_PREFIX, _GONE = "/memfd:", " (deleted)"
_F_SEAL_SEAL, _F_SEAL_FUTURE_WRITE, _F_SEAL_EXEC = 0x1, 0x10, 0x20
_MFD_NOEXEC_SEAL = 0x8
_F_SET_RW_HINT = 1036
_HINT = struct.Struct("=Q")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Opened(Description):
    pos: Size


@dataclass(frozen=True)
class State:
    opened: list[Opened]
    name: Annotated[bytes, Length(0, 249), NoNul()]
    dev: U64
    ino: U64
    """Where shared mappings of it say they come from."""
    size: Size
    permission: Permission
    seals: U32
    hint: Annotated[int, Range(0, 5)]
    """0, unless the image was made before the descriptions told it."""
    executed: bool
    atime_ns: I64
    mtime_ns: I64
    runs: Runs
    part: Part
    huge: PageSize = 0


def claims(file: FrozenFile) -> bool:
    return file.link.startswith(_PREFIX) and not file.flags & os.O_PATH


def verify(states: list[State], whole: Whole) -> None:
    whole.give_once("shared object", [(state.dev, state.ino) for state in states])
    for state in states:
        if not state.opened:
            raise bad(f"the memfd {state.name!r} is open nowhere")
        if state.huge and state.size % state.huge:
            raise bad(f"the memfd {state.name!r} has a part of a huge page")
        refuse_wrong(state.runs, state.size, state.part, whole)


def capture(pod: FrozenPod) -> list[State]:
    inodes: dict[tuple[int, int], list[FrozenFile]] = {}
    for file in pod.files(NAME):
        inodes.setdefault((file.stat.st_dev, file.stat.st_ino), []).append(file)
    return [_capture(pod, files) for files in inodes.values()]


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _make, state, build)
        build.at(Stage.FILES, _seal, state, build)


def _capture(pod: FrozenPod, files: list[FrozenFile]) -> State:
    some = files[0]
    size_of_page = os.fstatvfs(some.local).f_bsize
    part = f"memfd-{some.id}"
    own = open_anyway(b"/proc/self/fd/%d" % some.local, os.O_RDONLY | os.O_CLOEXEC, rehearsal=False)
    try:
        with pod.image.part(part) as writer:
            # Of huge pages it is not told which are there; a hole reads as zeros, and stays one.
            runs = (save if size_of_page == _PAGE else save_by_reading)(own, writer)
    finally:
        os.close(own)
    return State(
        opened=[Opened(**described(pod, file), pos=file.pos) for file in files],
        name=os.fsencode(some.link.removeprefix(_PREFIX).removesuffix(_GONE)),
        dev=some.stat.st_dev,
        ino=some.stat.st_ino,
        size=some.stat.st_size,
        permission=Permission.of(some.stat),
        seals=fcntl.fcntl(some.local, fcntl.F_GET_SEALS),
        hint=0,
        executed=Inodes.of(pod).opened(some).executed_by is not None,
        atime_ns=some.stat.st_atime_ns,
        mtime_ns=some.stat.st_mtime_ns,
        runs=runs,
        part=part,
        huge=size_of_page if size_of_page != _PAGE else 0,
    )


def _late_seals(seals: int) -> int:
    """Seals that would keep the mappings that they leave alone from being made."""
    return seals & (_F_SEAL_FUTURE_WRITE | _F_SEAL_SEAL) if seals & _F_SEAL_FUTURE_WRITE else 0


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, f"the memfd {os.fsdecode(state.name)}"):
        flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
        if state.seals & _F_SEAL_EXEC and not state.permission.mode & 0o111:
            flags |= _MFD_NOEXEC_SEAL
        first = huge.memfd(os.fsdecode(state.name), flags, state.huge, build)
        with closed_on_failure(first):
            if state.huge:
                huge.load(build, state.part, state.runs, state.size, first, state.huge)
            else:
                load(build, state.part, state.runs, state.size, first, whole=state.executed)
            own = next((o for o in state.opened if o.flags & os.O_ACCMODE == os.O_RDWR), None)
            for one in state.opened:
                # That of memfd_create(2) does not count as a writer, so the memfd can be executed.
                fd = os.dup(first) if one is own else reopen(first, one.flags)
                with closed_on_failure(fd):
                    os.lseek(fd, one.pos, os.SEEK_SET)
                finish(build, one, fd)
            state.permission.give(first)
            if state.hint:
                fcntl.fcntl(first, _F_SET_RW_HINT, _HINT.pack(state.hint))
            os.utime(first, ns=(state.atime_ns, state.mtime_ns))
            seals = state.seals & ~_late_seals(state.seals)
            if seals:
                fcntl.fcntl(first, fcntl.F_ADD_SEALS, seals)
        build.provide_inode(state.dev, state.ino, first)


def _seal(state: State, build: Build) -> None:
    late = _late_seals(state.seals)
    fd = build.inode(state.dev, state.ino)
    if late and fd is not None:
        with restoring(NAME, Stage.FILES, "the seals of a memfd"):
            fcntl.fcntl(fd, fcntl.F_ADD_SEALS, late)
