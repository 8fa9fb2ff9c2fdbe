"""What a restore that was killed left of the files of sockets: put right by the next command.

    $TMPDIR/zaptrace-sockets-<random>     of each file with a private name: its path, and its place

The note is locked by its maker (flock), and there before the file. So one whose lock is free is of a
process that was killed. What has a private name then is the file of a socket that is no more, and is
removed; or it is somebody else's that had to be moved aside, and goes back to its place.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat

from ...linux import outside, private
from ...linux.rename import RENAME_EXCHANGE, RENAME_NOREPLACE, rename
from ...linux.scratch import sweep_notes, temporary_place
from .place import beneath, proven_stale

_NOTE = re.compile(r"zaptrace-sockets-[0-9a-f]{16}", re.ASCII)
_PRIVATE = re.compile(rb"\.zt-[0-9a-f]{16}")
_MOST = 1 << 20
"""Bytes of a note."""


def private_name() -> bytes:
    """A new one."""
    return b".zt-" + secrets.token_hex(8).encode()


class Note:
    """Of one restore; there is a file once there is something in it."""

    def __init__(self) -> None:
        self._path = os.path.join(temporary_place(), f"zaptrace-sockets-{secrets.token_hex(8)}")
        self._fd = -1

    def add(self, directory: int, name: bytes, place: bytes) -> None:
        """A file called `name` is about to be in our `directory`, whose place is `place` in it."""
        with contextlib.suppress(OSError):  # no place for it: then it has to be removed by hand
            if self._fd < 0:
                self._fd = private.open_file(self._path, os.O_RDWR | os.O_EXCL | os.O_APPEND)
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path = os.readlink(b"/proc/self/fd/%d" % directory)
            os.write(self._fd, b"\0".join([path, name, place, b""]))

    def close(self) -> None:
        """No file has a private name any more."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            os.close(self._fd)
            self._fd = -1


def sweep() -> list[str]:
    """Put right what killed processes of this user have left; the paths of what is gone."""
    return [path for gone in sweep_notes(_NOTE, _sweep_note) for path in gone]


def _sweep_note(note: str, fd: int) -> list[str]:
    words = os.read(fd, _MOST).split(b"\0")[:-1]
    gone = []
    for directory, name, place in zip(words[::3], words[1::3], words[2::3], strict=False):
        with contextlib.suppress(OSError):
            if _put_right(directory, name, place):
                gone.append(os.fsdecode(os.path.join(directory, name)))
    os.unlink(note)
    return gone


def _put_right(path: bytes, name: bytes, place: bytes) -> bool:
    """True when the file was removed."""
    if not _PRIVATE.fullmatch(name) or b"/" in place:
        return False
    directory = outside.open_file(path, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        here = beneath(directory, name)
        if _is_stale(here):
            os.unlink(here)
            return True
        try:
            rename(directory, name, place, RENAME_NOREPLACE)
        except FileExistsError:
            return _change_places(directory, name, place)
        return False
    finally:
        os.close(directory)


def _change_places(directory: int, name: bytes, place: bytes) -> bool:
    """With the file of a socket that is no more; with nothing else."""
    here = beneath(directory, name)
    rename(directory, name, place, RENAME_EXCHANGE)
    if _is_stale(here):
        os.unlink(here)
        return True
    rename(directory, name, place, RENAME_EXCHANGE)
    return False


def _is_stale(path: bytes) -> bool:
    there = outside.lstat(path)
    ours = os.geteuid() in (there.st_uid, 0)
    if not stat.S_ISSOCK(there.st_mode) or not ours:
        return False
    return proven_stale(path)
