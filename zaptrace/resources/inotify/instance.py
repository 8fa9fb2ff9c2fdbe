"""An inotify instance by a descriptor of ours: its calls, what it shows, what is read from it."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import struct
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from ...linux import outside, procfs
from ...shapes import I32, U32, Length, NoNul
from ..common.libc import checked, libc

ACCESS, MODIFY, ATTRIB, CLOSE_WRITE, CLOSE_NOWRITE, OPEN = 1, 2, 4, 8, 0x10, 0x20
MOVED_FROM, MOVED_TO, CREATE, DELETE, DELETE_SELF, MOVE_SELF = (
    0x40,
    0x80,
    0x100,
    0x200,
    0x400,
    0x800,
)
UNMOUNT, OVERFLOW, IGNORED = 0x2000, 0x4000, 0x8000
EXCL_UNLINK, ISDIR, ONESHOT = 0x04000000, 0x40000000, 0x80000000
HIDDEN = EXCL_UNLINK | ONESHOT
"""What kernels before 5.19 do not show of a mask."""
NOTHING = UNMOUNT
"""A mask that nothing happens to: one of nothing at all is refused, and this is always in it."""

_F_SETOWN_EX, _F_GETOWN_EX = 15, 16
_DONT_FOLLOW = 0x02000000
_SETNEXTWD = 0x40044900
_HEAD = struct.Struct("=iIII")
_ROOM = 1 << 16
_SHOWN = re.compile(r"([0-9a-f]+) ino:([0-9a-f]+) sdev:([0-9a-f]+) mask:([0-9a-f]+) ")

_OF_A_DESCRIPTOR = re.compile(rb"/proc/\w+/fd/\d+$")

Inode = tuple[int, int]
"""(its file system, its number there), as inotify shows it: not what stat(2) says, on some."""


@dataclass(frozen=True)
class Event:
    number: I32
    """Of its watch; -1 of an overflow."""
    mask: U32
    cookie: U32
    name: Annotated[bytes, Length(0, 255), NoNul()]

    @property
    def size(self) -> int:
        """In bytes, as it is read."""
        return _HEAD.size * (1 + -(-(len(self.name) + 1) // _HEAD.size if self.name else 0))


@dataclass(frozen=True)
class Shown:
    """A watch, as the kernel shows it."""

    number: int
    inode: Inode
    mask: int


def as_read(number: int, *masks: int) -> bytes:
    """Events without names."""
    return b"".join(_HEAD.pack(number, mask, 0, 0) for mask in masks)


def create() -> int:
    return checked(libc.inotify_init1(os.O_CLOEXEC))


def shown(lines: list[str]) -> list[Shown]:
    """From the lines of an fdinfo, by number."""
    found = []
    for line in lines:
        number, inode, device, mask = (int(word, 16) for word in _SHOWN.match(line).groups())  # type: ignore[union-attr]
        found.append(Shown(number, (device, inode), mask))
    return sorted(found, key=lambda watch: watch.number)


def watches(fd: int) -> list[Shown]:
    return shown(procfs.fdinfo(os.getpid(), fd).get("inotify wd", []))


def add(fd: int, path: bytes, mask: int, number: int | None = None) -> int:
    """Watch what is at `path` itself, or through the link of a descriptor, as `number`."""
    if number is not None:
        set_next(fd, number)
    if not _OF_A_DESCRIPTOR.match(path):
        mask |= _DONT_FOLLOW
    flags = ctypes.c_uint32(mask or NOTHING)
    got = outside.call(path, lambda: checked(libc.inotify_add_watch(fd, path, flags)))
    if number is not None and got != number:
        remove(fd, got)
        raise OSError(errno.EEXIST, f"watch {number} became {got}")
    return got


def remove(fd: int, number: int) -> None:
    checked(libc.inotify_rm_watch(fd, number))


def set_next(fd: int, number: int) -> None:
    """The number of the next watch that is added."""
    checked(libc.ioctl(fd, ctypes.c_ulong(_SETNEXTWD), ctypes.c_ulong(number)))


def waiting(fd: int) -> int:
    """Bytes of events that were not read."""
    size = ctypes.c_int()
    checked(libc.ioctl(fd, ctypes.c_ulong(termios.FIONREAD), ctypes.byref(size)))
    return size.value


def take(fd: int, passing: bytes = b"no event") -> list[Event]:
    """All events that are there, which are gone then; without those that are `passing`, as read."""
    found: list[Event] = []
    left = waiting(fd)
    while left > 0:
        raw, at = os.read(fd, _ROOM), 0
        left -= len(raw)
        while at < len(raw):
            if raw.startswith(passing, at):
                at += len(passing)
                continue
            number, mask, cookie, size = _HEAD.unpack_from(raw, at)
            at += _HEAD.size
            found.append(Event(number, mask, cookie, raw[at : at + size].rstrip(b"\0")))
            at += size
    return found


@contextlib.contextmanager
def undisturbed(fd: int) -> Iterator[None]:
    """Meanwhile no signal is sent to who is told of events (O_ASYNC), and no read of ours waits.

    O_ASYNC itself stays: set anew by us, it would tell our number of the file.
    """
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    owner = fcntl.fcntl(fd, _F_GETOWN_EX, bytes(8))
    fcntl.fcntl(fd, fcntl.F_SETOWN, 0)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
        fcntl.fcntl(fd, _F_SETOWN_EX, owner)
