"""Directories that are there for a while, and do not outlive whoever made them for long.

    $TMPDIR/zaptrace-note-<random>     the path of one, in a file that its maker holds a flock on

A note whose lock is free is of a process that was killed: the next command of that user removes
what it names. The note is there before the directory, so no moment is left out.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from . import private

T = TypeVar("T")

_NOTE = re.compile(r"zaptrace-note-[0-9a-f]{16}", re.ASCII)
_OURS = re.compile(r"(\..+|zaptrace-.+|zt)\.[0-9a-f]{8}(\.tmp)?", re.ASCII | re.DOTALL)
_PATH_MAX = 4096
_EMPTY_KEPT_S = 60.0
_ATTEMPTS, _MOMENT_S = 500, 0.002


def temporary_place() -> str:
    """Where temporary files go. Under a read-only root without a TMPDIR /dev/shm is all there is.

    tempfile tries a place by writing a file, which stays if it is killed in that moment.
    """
    if tempfile.tempdir is None:
        places = [os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")]
        for place in (*places, "/tmp", "/var/tmp", "/usr/tmp", "/dev/shm"):
            if place and os.path.isdir(place) and os.access(place, os.W_OK | os.X_OK):
                tempfile.tempdir = os.path.abspath(place)
                break
    return os.fsdecode(tempfile.gettempdir())


class Scratch:
    """A directory of ours (mode 0700), until `remove` or `keep`."""

    def __init__(
        self, prefix: str, parent: str | None = None, suffix: str = "", *, noted: bool = True
    ) -> None:
        """It is called `<prefix>.<random><suffix>`, in `parent` or where temporary files are.

        Where somebody watches these, nothing is `noted` there: nobody sweeps it, if we are killed.
        """
        word = secrets.token_hex(8)
        home = os.path.abspath(parent if parent is not None else temporary_place())
        self.path = os.path.join(home, f"{prefix}.{word[:8]}{suffix}")
        self._note_path, self._note = _write_note(self.path, word) if noted else ("", -1)
        try:
            os.mkdir(self.path, 0o700)
            os.chmod(self.path, 0o700)
        except BaseException:
            self.keep()
            raise

    def remove(self) -> None:
        """With all that is in it. Harmless when it is done already."""
        remove_tree(self.path)
        self._forget(keep_note=os.path.lexists(self.path))  # then it is for who sweeps

    def keep(self) -> None:
        """It stays: it is no scratch any more."""
        self._forget(keep_note=False)

    def _forget(self, *, keep_note: bool) -> None:
        if self._note >= 0:
            if not keep_note:
                with contextlib.suppress(OSError):
                    os.unlink(self._note_path)
            os.close(self._note)
            self._note = -1


def remove_tree(path: str | os.PathLike[str]) -> None:
    """As much of a directory as can be removed, and no OSError: shutil.rmtree raises some that it is
    told to ignore (CPython 3.11: when it cannot look at what it has just opened)."""
    with contextlib.suppress(OSError):
        shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def directory(prefix: str) -> Iterator[str]:
    """One that is gone after the block."""
    scratch = Scratch(prefix)
    try:
        yield scratch.path
    finally:
        scratch.remove()


def _write_note(path: str, word: str) -> tuple[str, int]:
    note = os.path.join(temporary_place(), f"zaptrace-note-{word}")
    try:
        fd = private.open_file(note, os.O_RDWR | os.O_EXCL)
    except OSError:  # no place for it: then it has to be removed by hand if we are killed
        return note, -1
    with contextlib.suppress(OSError):
        if _lock(fd):
            os.write(fd, os.fsencode(path))
    return note, fd


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
    return [path for path in sweep_notes(_NOTE, _sweep_note) if path]


def sweep_notes(named: re.Pattern[str], see_to: Callable[[str, int], T]) -> list[T]:
    """What `see_to(path, fd)` makes of each note of this user's that is `named` so, and whose maker was
    killed: it is locked by us meanwhile. Those that it raises an OSError of are passed by."""
    made: list[T] = []
    home = temporary_place()
    with contextlib.suppress(OSError):
        for name in filter(named.fullmatch, os.listdir(home)):
            note = os.path.join(home, name)
            with contextlib.suppress(OSError), _abandoned(note) as fd:
                made.append(see_to(note, fd))
    return made


@contextlib.contextmanager
def _abandoned(note: str) -> Iterator[int]:
    """Raises OSError for what is no note of this user's, or is its maker's still."""
    fd = os.open(note, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        there = os.fstat(fd)
        own = there.st_uid == os.geteuid() and there.st_nlink == 1
        if not stat.S_ISREG(there.st_mode) or not own:
            raise PermissionError(errno.EPERM, "it is no note of ours", note)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield fd
    finally:
        os.close(fd)


def _sweep_note(note: str, fd: int) -> str | None:
    path = os.fsdecode(os.read(fd, _PATH_MAX))
    if not path:  # its maker is about to write it, or was killed before
        if time.time() - os.fstat(fd).st_mtime > _EMPTY_KEPT_S:
            os.unlink(note)
        return None
    if not os.path.isabs(path) or "\0" in path:  # a crash of the machine leaves zeros
        os.unlink(note)
        return None
    swept = None
    with contextlib.suppress(FileNotFoundError):
        seen = os.lstat(path)
        named = _OURS.fullmatch(os.path.basename(path))
        if named and stat.S_ISDIR(seen.st_mode) and seen.st_uid == os.geteuid():
            remove_tree(path)
            swept = path
    os.unlink(note)
    return swept
