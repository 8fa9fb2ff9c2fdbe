"""Files that have lost their last name, made anew.

A new one lies under the name that the old one had while its descriptors are opened, so that /proc
shows it as it did and open(2) sees every flag; then it is removed. If that name is taken, it lies
in a directory of our own next to it, under its own name still; if its directory is gone, further up
or where temporary files do. In a rehearsal no name is seen by anyone.
"""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator

from ...linux import outside
from ...linux.scratch import Scratch, temporary_place

_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class Nameless:
    """A new file; `fd` is a descriptor of it (with O_PATH for one that is not a regular file)."""

    def __init__(self, fd: int, name: bytes | None) -> None:
        self.fd = fd
        self._name = name

    def open(self, flags: int) -> int:
        """Another description of it, with these flags of open(2) as far as they can be had."""
        flags |= os.O_CLOEXEC | os.O_NOCTTY
        if self._name is not None:
            return os.open(self._name, flags)
        return os.open(f"/proc/self/fd/{self.fd}", flags & ~os.O_NOFOLLOW)


@contextlib.contextmanager
def regular(was: bytes, *, quiet: bool) -> Iterator[Nameless]:
    """A regular file, open for reading and writing; without a name at the end. `quiet`: never with one."""
    with contextlib.ExitStack() as stack:
        fd, name = _temporary(was) if quiet else _named(was, stack)
        try:
            yield Nameless(fd, name)
        finally:
            os.close(fd)
            if name is not None:
                os.unlink(name)


@contextlib.contextmanager
def temporary(was: bytes, flags: int) -> Iterator[tuple[int, Nameless]]:
    """A file of open(2) with O_TMPFILE: its first description, made with `flags`, and the file."""
    first = None
    for home in (os.path.dirname(was), os.fsencode(temporary_place())):
        with contextlib.suppress(OSError):
            first = outside.open_file(home, flags)
            break
    if first is None:
        with regular(was, quiet=False) as file:
            yield os.dup(file.fd), file
        return
    fd = os.open(f"/proc/self/fd/{first}", os.O_RDWR | os.O_CLOEXEC)
    try:
        yield first, Nameless(fd, None)
    finally:
        os.close(fd)


@contextlib.contextmanager
def other(was: bytes, mode: int, target: bytes, *, quiet: bool) -> Iterator[Nameless]:
    """A directory, a named pipe, or a symbolic link to `target`; without a name at the end."""
    scratch = Scratch("zt")
    try:
        name = was
        try:
            if quiet:
                raise FileExistsError
            _make(name, mode, target)
        except OSError:
            name = os.path.join(os.fsencode(scratch.path), os.path.basename(was) or b"gone")
            _make(name, mode, target)
        fd = outside.open_file(name, os.O_PATH | os.O_NOFOLLOW)
        try:
            yield Nameless(fd, name)
        finally:
            os.close(fd)
            (os.rmdir if stat.S_ISDIR(mode) else os.unlink)(name)
    finally:
        scratch.remove()


def _make(name: bytes, mode: int, target: bytes) -> None:
    if stat.S_ISDIR(mode):
        os.mkdir(name, 0o700)
    elif stat.S_ISLNK(mode):
        os.symlink(target, name)
    else:
        os.mkfifo(name, 0o600)


def _temporary(was: bytes) -> tuple[int, bytes | None]:
    for home in (os.path.dirname(was), os.fsencode(temporary_place())):
        with contextlib.suppress(OSError):
            return outside.open_file(home, os.O_TMPFILE | os.O_RDWR), None
    fd, name = tempfile.mkstemp(dir=temporary_place())
    return fd, os.fsencode(name)


def _named(was: bytes, stack: contextlib.ExitStack) -> tuple[int, bytes | None]:
    with contextlib.suppress(OSError):
        return _new(was), was
    home = os.path.dirname(was)
    while home.strip(b"/") and not outside.is_directory(home):
        home = os.path.dirname(home)
    for place in (home, os.fsencode(temporary_place())):
        with contextlib.suppress(OSError):
            return _named_in(place, os.path.basename(was), stack)
    return _temporary(was)


def _named_in(place: bytes, name: bytes, stack: contextlib.ExitStack) -> tuple[int, bytes]:
    """In a directory that `stack` removes again."""
    ours = Scratch("zt", os.fsdecode(place))
    stack.callback(ours.remove)
    path = os.path.join(os.fsencode(ours.path), name)
    return _new(path), path


def _new(path: bytes) -> int:
    """Raises OSError; what comes too late is gone again."""

    def undo(fd: int) -> None:
        os.close(fd)
        os.unlink(path)

    return outside.call(path, lambda: os.open(path, _NEW, 0o600), undo)
