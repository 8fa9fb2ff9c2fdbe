"""Mappings as an image keeps them, and what mapping is of what."""

from __future__ import annotations

import mmap as mm
import os
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated

from ...errors import UnsupportedResource
from ...linux import ipc, procfs
from ...shapes import (
    U64,
    Address,
    Data,
    Length,
    NoNul,
    OneOf,
    Part,
    Path,
    PathOrNone,
    Range,
    Size,
    Word,
)
from ...view.frozen import FrozenPod, FrozenProcess
from ..common import sameness
from ..common.huge import PageSize
from ..common.inode import Inode
from ..common.permission import may_open

PAGE = mm.PAGESIZE
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4

_ANON_SHMEM = "[anon_shmem"

HUGE_ANONYMOUS = "/anon_hugepage"
"""The file that the kernel shows for huge pages without one."""

_REFUSED = {
    "io": "memory of a device",
    "pf": "memory of a device",
    "sf": "memory of a DAX file",
    "ss": "a shadow stack",
    "um": "a userfaultfd registration",
    "uw": "a userfaultfd registration",
    "ui": "a userfaultfd registration",
}


@dataclass(frozen=True)
class Mapping:
    start: Address
    end: Address
    protection: Annotated[int, Range(0, 7)]
    kind: Annotated[str, OneOf("anonymous", "file", "object", "segment")]
    shared: bool
    path: PathOrNone
    offset: Size
    device: U64
    inode: U64  # of a segment: its number in the pod
    flags: Word  # VmFlags of /proc/PID/smaps
    key: Annotated[int, Range(0, 15)]  # memory protection key
    name: Word  # of memory without a file (PR_SET_VMA_ANON_NAME)
    guards: Data  # pairs of addresses: ranges of guard pages
    runs: Data  # of private pages that hold something of their own
    huge: PageSize = 0

    @property
    def object(self) -> tuple[int, int]:
        """The object that it is of; as Object.key."""
        return self.device, self.inode

    def has(self, flag: str) -> bool:
        return flag in self.flags  # all are of two letters

    @property
    def may_write(self) -> bool:
        """A shared mapping of something opened for writing: it may be made writable."""
        return self.has("mw")

    @property
    def open_mode(self) -> int:
        """What open(2) of its file takes."""
        return open_mode(self.shared and self.may_write)

    @property
    def backing(self) -> Hashable:
        """What the bytes are of and how they are accounted; equal for mappings that may be one."""
        of: Hashable = None
        if self.kind == "file":
            of = (self.path, self.offset - self.start)
        elif self.kind == "object":
            of = (self.device, self.inode, self.offset - self.start)
        return (self.kind, of, self.huge, *(self.has(flag) for flag in ("gd", "nr", "dp")))


@dataclass(frozen=True)
class Object:
    """Shared memory without a path, a file that has none any more, or that may not be read."""

    device: U64
    inode: U64
    path: PathOrNone
    """Where a removed file was; empty for memory."""
    name: Annotated[str, Length(1, 249), NoNul()]
    anonymous: bool  # made by mmap(2) alone: processes have it from one that they descend from
    code: bool
    size: Size
    part: Part
    runs: Data  # offsets in the object
    huge: PageSize = 0

    @property
    def key(self) -> tuple[int, int]:
        return self.device, self.inode


def is_private_huge(m: procfs.Map) -> bool:
    """Memory without a file; the kernel shows one of its own."""
    return bool(m.huge) and not m.shared and m.name.startswith(HUGE_ANONYMOUS)


def name_of(m: procfs.Map) -> str:
    """That a program gave to memory without a file."""
    kind, _, name = m.name.partition(":")
    return name.removesuffix("]") if kind in ("[anon", _ANON_SHMEM) else ""


def is_anonymous_object(m: procfs.Map) -> bool:
    return m.shared and m.name.startswith(("/dev/zero (deleted)", _ANON_SHMEM))


@dataclass(frozen=True)
class MappedFile:
    """A file that has a name."""

    path: Path
    print: sameness.Print


def protection(m: procfs.Map) -> int:
    bits = {"r": PROT_READ, "w": PROT_WRITE, "x": PROT_EXEC}
    return sum(bit for letter, bit in bits.items() if letter in m.permissions)


def open_mode(writable: bool) -> int:
    return os.O_RDWR if writable else os.O_RDONLY


def segment_of(pod: FrozenPod, m: procfs.Map) -> int | None:
    """The number in the pod of the System V segment that is attached here; None: it is something else,
    or not the pod's. The kernel makes the inode's number that of the segment (ipc/shm.c, newseg)."""
    if not m.name.startswith("/SYSV") or not m.name.endswith(" (deleted)"):
        return None
    return ipc.virtual(pod.handle, ipc.SHM, m.inode)


def kind_of(inode: Inode | None, m: procfs.Map) -> str:
    if inode is None:
        return "anonymous"
    if inode.path is None:
        return "object"
    if not m.shared and not may_open(inode.path, os.O_RDONLY):
        return "object"  # of a program that may be executed only: none can map it
    return "file"


def refuse(process: FrozenProcess, m: procfs.Map, inode: Inode | None) -> None:
    for flag, what in _REFUSED.items():
        if flag in m.flags:
            raise unsupported(process, m, what)
    if m.huge and not m.name.startswith((HUGE_ANONYMOUS, "/memfd:")):
        raise unsupported(process, m, "huge pages of hugetlbfs")
    if inode is None:
        if m.name == "[uprobes]":
            raise unsupported(process, m, m.name)
        if m.shared:
            raise unsupported(process, m, "shared memory of an unknown kind")
    elif inode.path is None:
        if m.name.startswith("/SYSV"):
            raise unsupported(process, m, "a System V segment that is not of the pod")
        if m.name.startswith(("/[aio]", "anon_inode:", "socket:")):
            raise unsupported(process, m, m.name)
        if inode.hidden:
            raise unsupported(process, m, "a file that cannot be reached by its name")
    elif m.shared and not may_open(inode.path, open_mode("mw" in m.flags)):
        raise unsupported(process, m, "a file that its mode forbids to open so again")


def refuse_segment(process: FrozenProcess, m: procfs.Map) -> None:
    if m.huge:
        raise unsupported(process, m, "huge pages of a System V segment")


def unsupported(process: FrozenProcess, m: procfs.Map, what: str) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot checkpoint process {process.vpid} ({process.comm}): "
        f"it maps {what} at {m.start:#x}",
        needed="memory whose contents can be read and made again",
        found=f"{m.name or 'a mapping without a name'}, {m.size >> 10} KiB",
        do="run the program without it, if it can do so",
    )
