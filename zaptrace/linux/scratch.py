"""Directories and sockets that are there for a while, and do not outlive whoever made them for long.

    $TMPDIR/zaptrace-note-<random>     paths, in a file that their maker holds a flock on

A note whose lock is free is of a process that was killed: the next command of that user removes
what it names. The note is there before what it names, so no moment is left out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator

from . import private

_NOTE = re.compile(r"zaptrace-note-[0-9a-f]{16}", re.ASCII)
_OURS = re.compile(r"(\..+|zaptrace-.+|zt)\.[0-9a-f]{8}(\.tmp)?", re.ASCII | re.DOTALL)
_SOCKET = re.compile(r"\.zt-[0-9a-f]{16}", re.ASCII)
_MOST = 4 << 20
_EMPTY_KEPT_S = 60.0
_ATTEMPTS, _MOMENT_S = 500, 0.002


class Scratch:
    """A directory of ours (mode 0700), until `remove` or `keep`."""

    def __init__(self, prefix: str, parent: str | None = None, suffix: str = "") -> None:
        """It is called `<prefix>.<random><suffix>`, in `parent` or where temporary files are."""
        word = secrets.token_hex(4)
        home = os.path.abspath(parent if parent is not None else temporary_place())
        self.path = os.path.join(home, f"{prefix}.{word}{suffix}")
        self._note = Note()
        self._note.add(os.fsencode(self.path))
        try:
            os.mkdir(self.path, 0o700)
            os.chmod(self.path, 0o700)
        except BaseException:
            self.keep()
            raise

    def remove(self) -> None:
        """With all that is in it. Harmless when it is done already."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.keep()

    def keep(self) -> None:
        """It stays: it is no scratch any more."""
        self._note.drop()


def temporary_place() -> str:
    """Where temporary files go. Under a read-only root without a TMPDIR /dev/shm is all there is.

    tempfile tries a place by writing a file, which stays if it is killed then.
    """
    if tempfile.tempdir is None:
        given = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
        for place in (*given, "/tmp", "/var/tmp", "/usr/tmp", os.curdir):
            if os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
                tempfile.tempdir = os.path.abspath(place)
                break
        else:
            return "/dev/shm"
    return os.fsdecode(tempfile.tempdir)


@contextlib.contextmanager
def directory(prefix: str) -> Iterator[str]:
    """One that is gone after the block."""
    scratch = Scratch(prefix)
    try:
        yield scratch.path
    finally:
        scratch.remove()


class Note:
    """What is to go if we are killed: directories of ours, and sockets under a private name."""

    def __init__(self) -> None:
        self._path = os.path.join(temporary_place(), f"zaptrace-note-{secrets.token_hex(8)}")
        self._fd, self._locked = -1, False
        with contextlib.suppress(OSError):  # no place for it: then it has to be removed by hand
            self._fd = private.open_file(self._path, os.O_RDWR | os.O_EXCL)
            self._locked = _lock(self._fd)

    def add(self, path: bytes) -> None:
        """Before it is made."""
        if self._locked:
            with contextlib.suppress(OSError):
                os.write(self._fd, path + b"\0")

    def drop(self) -> None:
        """Whatever is left of it stays. Harmless when that is said already."""
        if self._fd >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._path)
            os.close(self._fd)
            self._fd, self._locked = -1, False


def _lock(fd: int) -> bool:
    """Who sweeps has it for a moment, to see that it is empty."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_MOMENT_S)
    return False


def sweep() -> list[str]:
    """Remove what killed processes of this user have left; the paths of that."""
    removed: list[str] = []
    home = temporary_place()
    with contextlib.suppress(OSError):
        for name in filter(_NOTE.fullmatch, os.listdir(home)):
            with contextlib.suppress(OSError):
                removed += _sweep_note(os.path.join(home, name))
    return removed


def _sweep_note(note: str) -> list[str]:
    fd = os.open(note, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        there = os.fstat(fd)
        own = there.st_uid == os.geteuid() and there.st_nlink == 1
        if not stat.S_ISREG(there.st_mode) or not own:
            return []
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        said = os.read(fd, _MOST)
        if not said:  # its maker is about to write it, or was killed before
            if time.time() - there.st_mtime > _EMPTY_KEPT_S:
                os.unlink(note)
            return []
        # A crash of the machine leaves zeros.
        paths = [os.fsdecode(path) for path in said.split(b"\0") if path.startswith(b"/")]
        swept = [path for path in paths if _remove(path)]
        os.unlink(note)
        return swept
    finally:
        os.close(fd)


def _remove(path: str) -> bool:
    try:
        there = os.lstat(path)
    except OSError:
        return False
    name = os.path.basename(path)
    if there.st_uid != os.geteuid():
        return False
    if stat.S_ISDIR(there.st_mode) and _OURS.fullmatch(name):
        shutil.rmtree(path, ignore_errors=True)
        return True
    if stat.S_ISSOCK(there.st_mode) and _SOCKET.fullmatch(name):
        os.unlink(path)
        return True
    return False
