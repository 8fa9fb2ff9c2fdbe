"""The log of a detached pod: a pipe that is its stdout and stderr, and the file that it fills.

A pipe and not the file itself: the file's path belongs to this host and this name, while a pipe at
the edge of the pod is a stdio slot, which any host can fill again.

Beside each file is one that says when what was written, for who asks since when (`log.times`): lines with
the time of the last write before, of the first from there on, and the offset of that in the file; as few as
it takes to be short beside the log.

A file that has grown large is put aside, as the one old file, and a new one is begun. What a full
disk does not take is lost to the file, which says so; the pod goes on.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time

from ..limits import RECORD
from ..linux import private
from ..log import log
from .ring import Ring

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from ..linux.private import StrPath

MOST = 16 << 20
"""Bytes of the file, and of the old one, at most."""
_CHUNK = 65536
_APART_S, _APART_BYTES, _LONG_S = 1.0, 64, 60.0
"""A time is noted after a second, if there is more than a few bytes to tell of, or after a minute."""


def old_one(path: StrPath) -> str:
    """What was put aside of the log `path`."""
    return f"{os.fspath(path)}.old"


def times_of(path: StrPath) -> str:
    """Where it stands when what was written to the log `path`."""
    return f"{os.fspath(path)}.times"


def offset_at(path: StrPath, when: float) -> int | None:
    """Where in the log is what was written from then on, and little more; None: all of it, and before."""
    found, last = None, 0.0
    with contextlib.suppress(OSError, ValueError):
        for line in private.read(times_of(path), RECORD).splitlines():
            before, first, offset = line.split()
            if found is not None and float(before) >= when:
                return found  # some of what stands there
            if found is not None or float(first) <= when:
                found = int(offset)
            if float(first) > when:
                return found
        last = os.stat(path).st_mtime
        if found is not None and last < when:
            return os.stat(path).st_size
    return found


class PodLog:
    """Belongs to the coordinator thread."""

    def __init__(self, path: StrPath, most: int = MOST) -> None:
        self.recent = Ring(64 * 1024)
        self._path = path
        self._most = most
        self._lost = 0
        self._file = self._open()
        self._size = 0
        self._noted = (0.0, 0)
        self._wrote_at = 0.0
        self.source, self.pod_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.source, False)

    def given(self) -> None:
        """The pod has its end of the pipe; ours is closed, so that we see when all writers left."""
        os.close(self.pod_end)

    def capacity(self) -> int:
        """As much can be in the pipe."""
        return fcntl.fcntl(self.source, fcntl.F_GETPIPE_SZ) if self.source >= 0 else 0

    def pump(self) -> int:
        """Move what the pod wrote into the file: so many bytes; 0 when there is no more now."""
        if self.source < 0:
            return 0
        try:
            data = os.read(self.source, min(_CHUNK, self._most))
        except BlockingIOError:
            return 0
        if not data:
            os.close(self.source)
            self.source = -1
            return 0
        self.recent.append(data)
        if self._size and self._size + len(data) > self._most:
            self._put_aside()
        self._note_time()
        self._write(data)
        return len(data)

    def _open(self) -> int:
        return private.open_file(self._path, os.O_WRONLY | os.O_APPEND)

    def _put_aside(self) -> None:
        try:
            os.rename(self._path, old_one(self._path))
            with contextlib.suppress(FileNotFoundError):
                os.rename(times_of(self._path), times_of(old_one(self._path)))
            new = self._open()
        except OSError as e:
            log.error("a new log cannot be begun: %s", e)
        else:
            os.close(self._file)
            self._file = new
        self._size, self._noted = 0, (0.0, 0)

    def _note_time(self) -> None:
        now, (at, size) = time.time(), self._noted
        passed, more = abs(now - at), self._size - size
        before, self._wrote_at = self._wrote_at, now
        if passed < _APART_S or (more < _APART_BYTES and passed < _LONG_S):
            return
        self._noted = now, self._size
        with contextlib.suppress(OSError):  # a full disk: it is only known less well
            fd = private.open_file(times_of(self._path), os.O_WRONLY | os.O_APPEND)
            os.write(fd, f"{before:.3f} {now:.3f} {self._size}\n".encode())
            os.close(fd)

    def _write(self, data: bytes) -> None:
        gap = f"\n[zaptrace: {self._lost} bytes could not be written here]\n" if self._lost else ""
        view = memoryview(gap.encode() + data)
        try:
            if not os.fstat(self._file).st_nlink:  # somebody has removed it
                fresh = self._open()
                os.close(self._file)
                self._file, self._size, self._noted = fresh, 0, (0.0, 0)
            while view:
                written = os.write(self._file, view)
                self._size += written
                view = view[written:]
            self._lost = 0
        except OSError as e:  # a full disk must not end the pod
            if not self._lost:
                log.error("the log cannot be written, what comes is lost: %s", e)
            self._lost += min(len(view), len(data))


def follow(path: StrPath, stream: IO[bytes]) -> Iterator[bytes]:
    """What is in a log from here on, now; also behind where it was put aside."""
    while True:
        aside = _was_put_aside(path, stream)  # asked first: what came before that is read below
        while data := stream.read(_CHUNK):
            yield data
        if not aside:
            return
        fresh = private.open_to_read(path)
        os.dup2(fresh, stream.fileno(), inheritable=False)
        os.close(fresh)


def _was_put_aside(path: StrPath, stream: IO[bytes]) -> bool:
    """Another pod of that name has another log: it is none of this one's."""
    ours = os.fstat(stream.fileno())
    try:
        return not ours.st_nlink or os.path.samestat(os.stat(old_one(path)), ours)
    except FileNotFoundError:
        return False
