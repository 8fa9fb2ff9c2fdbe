"""Who may do what with a file, and opening it again where it was opened under another mode.

A program may make a file that its mode forbids to write, and write it (git does), or take its own
permission away later: what is open stays open. It is the owner's to open such a file again: its mode
says so for a moment, and is put back.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Annotated

from ...linux import outside
from ...shapes import Range

_WANTED = {
    os.O_RDONLY: os.R_OK,
    os.O_WRONLY: os.W_OK,
    os.O_RDWR: os.R_OK | os.W_OK,
    os.O_ACCMODE: os.R_OK | os.W_OK,  # for ioctl(2) alone, and yet open(2) asks for both
}
_Owner = Annotated[int, Range(0, (1 << 32) - 2)]
"""-1 would leave it as it is."""
_OWNERS = stat.S_IRUSR | stat.S_IWUSR


@dataclass(frozen=True)
class Permission:
    """Of what comes into being anew: fchmod(2) and fchown(2)."""

    mode: Annotated[int, Range(0, 0o7777)]
    uid: _Owner | None
    """None for the user that the pod runs as."""
    gid: _Owner | None

    @staticmethod
    def of(status: os.stat_result, uid: int | None = None, gid: int | None = None) -> Permission:
        """`uid` and `gid` are what a new one would have, if not the user's own."""
        usual = (os.geteuid() if uid is None else uid, os.getegid() if gid is None else gid)
        return Permission(
            stat.S_IMODE(status.st_mode),
            None if status.st_uid == usual[0] else status.st_uid,
            None if status.st_gid == usual[1] else status.st_gid,
        )

    def give(self, file: int | str | bytes) -> None:
        """To a file by descriptor or path."""
        there = os.stat(file)
        uid = there.st_uid if self.uid is None else self.uid
        gid = there.st_gid if self.gid is None else self.gid
        if (uid, gid) != (there.st_uid, there.st_gid):
            os.chown(file, uid, gid)
            there = os.stat(file)  # which may have taken set-user-ID away
        if self.mode != stat.S_IMODE(there.st_mode):
            os.chmod(file, self.mode)


def can_open(path: bytes, flags: int) -> bool:
    """Does the mode of what is at `path` allow open(2) with `flags`?"""
    return bool(flags & os.O_PATH) or outside.can(path, _WANTED[flags & os.O_ACCMODE])


def may_open(path: bytes, flags: int) -> bool:
    """Could `open_anyway` open what is at `path`?"""
    if can_open(path, flags):
        return True
    try:
        there = outside.stat(path)
        writable = not outside.call(path, lambda: os.statvfs(path)).f_flag & os.ST_RDONLY
    except OSError:
        return False
    return there.st_uid == os.geteuid() and (writable or flags & os.O_ACCMODE == os.O_RDONLY)


def open_anyway(path: bytes, flags: int, *, rehearsal: bool) -> int:
    """open(2); for the owner of the file also against its mode.

    In a rehearsal nobody may notice that: then it is another file, as large, that is given instead.
    """
    try:
        return outside.open_file(path, flags)
    except PermissionError:
        if not may_open(path, flags):
            raise
    if rehearsal:
        return stand_in(path)
    held = outside.open_file(path, os.O_PATH)
    try:
        own, mode = f"/proc/self/fd/{held}", stat.S_IMODE(os.fstat(held).st_mode)
        os.chmod(own, mode | _OWNERS)
        try:
            return outside.open_file(path, flags)
        finally:
            os.chmod(own, mode)
    finally:
        os.close(held)


def stand_in(path: bytes) -> int:
    """Another file without a name, as large."""
    there = outside.stat(path)
    if stat.S_ISDIR(there.st_mode):
        return os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fd = os.memfd_create("rehearsal")
    os.ftruncate(fd, there.st_size)
    return fd
