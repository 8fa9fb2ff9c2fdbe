"""Mappings as an image keeps them, and what mapping is of what."""

from __future__ import annotations

import mmap as mm
import os
from collections.abc import Hashable
from dataclasses import dataclass

from ...errors import UnsupportedResource
from ...linux import procfs
from ...view.frozen import FrozenProcess

PAGE = mm.PAGESIZE
PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4

_REFUSED = {
    "io": "memory of a device",
    "pf": "memory of a device",
    "sf": "memory of a DAX file",
    "ht": "huge pages of hugetlbfs",
    "ss": "a shadow stack",
    "um": "a userfaultfd registration",
    "uw": "a userfaultfd registration",
    "ui": "a userfaultfd registration",
}


@dataclass(frozen=True)
class Mapping:
    start: int
    end: int
    protection: int
    kind: str  # "anonymous", "file", "object"
    shared: bool
    path: str
    offset: int
    device: int
    inode: int
    size: int  # of the file
    mtime_ns: int
    flags: str  # VmFlags of /proc/PID/smaps
    key: int  # memory protection key
    name: str  # of an anonymous mapping (PR_SET_VMA_ANON_NAME)
    guards: bytes  # pairs of addresses: ranges of guard pages
    runs: bytes  # of private pages that hold something of their own

    def has(self, flag: str) -> bool:
        return flag in self.flags  # all are of two letters

    @property
    def may_write(self) -> bool:
        """A shared mapping of something opened for writing: it may be made writable."""
        return self.has("mw")

    @property
    def backing(self) -> Hashable:
        """What the bytes are of and how they are accounted; equal for mappings that may be one."""
        of: Hashable = None
        if self.kind == "file":
            of = (self.path, self.offset - self.start)
        elif self.kind == "object":
            of = (self.device, self.inode, self.offset - self.start)
        return (self.kind, of, *(self.has(flag) for flag in ("gd", "nr", "dp")))


@dataclass(frozen=True)
class Object:
    """Shared memory without a path, a file that has none any more, or that may not be read."""

    device: int
    inode: int
    name: str
    size: int
    part: str
    runs: bytes  # offsets in the object


def protection(m: procfs.Map) -> int:
    bits = {"r": PROT_READ, "w": PROT_WRITE, "x": PROT_EXEC}
    return sum(bit for letter, bit in bits.items() if letter in m.permissions)


def kind_of(process: FrozenProcess, m: procfs.Map) -> tuple[str, str, os.stat_result | None]:
    """Kind, path and status of the file of a mapping."""
    if m.inode == 0 or m.name.startswith(("[anon:", "[heap]", "[stack")):
        if m.shared:
            raise unsupported(process, m, "shared memory of an unknown kind")
        return "anonymous", "", None
    if m.name.endswith(" (deleted)") or m.name.startswith("/memfd:"):
        return "object", "", None
    try:
        status = os.stat(m.name)
    except OSError:
        status = None
    if status is None or status.st_ino != m.inode:
        # Removed behind another name, or replaced: what is mapped is not what the path says.
        return "object", "", None
    if not m.shared and not os.access(m.name, os.R_OK):
        return "object", "", None  # of a program that may be executed only: none can map it
    return "file", m.name, status


def refuse(process: FrozenProcess, m: procfs.Map) -> None:
    for flag, what in _REFUSED.items():
        if flag in m.flags:
            raise unsupported(process, m, what)
    if m.name.startswith(("/SYSV", "/[aio]", "anon_inode:")) or m.name == "[uprobes]":
        raise unsupported(process, m, m.name)


def unsupported(process: FrozenProcess, m: procfs.Map, what: str) -> UnsupportedResource:
    return UnsupportedResource(
        f"cannot checkpoint process {process.vpid} ({process.comm}): "
        f"it maps {what} at {m.start:#x}",
        needed="memory whose contents can be read and made again",
        found=f"{m.name or 'a mapping without a name'}, {m.size >> 10} KiB",
        do="run the program without it, if it can do so",
    )
