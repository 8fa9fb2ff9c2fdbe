"""System calls on paths that others have named: an image, a user, a pod, a peer. They never wait.

    outside.open_file(path, flags)          open(2); a named pipe, a terminal or a device does not block
    outside.open_file(path, flags, kinds)   only what is of such a kind (stat.S_IFREG, ...) is opened
    outside.stat(path)  lstat  can(path, mode)  listing(directory)
    outside.call(path, work)                any other one

A file system whose server does not answer keeps a call, and its thread with it, for as long as it
likes. So they are made by helpers, threads that can be left behind: after LIMIT_S seconds there is an
OSError with ETIMEDOUT. It costs about 10 µs. A call that may well take longer has another limit, or none,
and a `check`, which gives up the wait by raising; as what is looked up in the names of hosts.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import queue
import stat as kinds_of
import threading
import time
from collections.abc import Callable, Collection
from typing import Any, TypeVar

from . import private

T = TypeVar("T")
Path = str | bytes | os.PathLike[str]

LIMIT_S = 10.0
_CHECK_S = 0.1

_KINDS = {
    kinds_of.S_IFREG: "a regular file",
    kinds_of.S_IFDIR: "a directory",
    kinds_of.S_IFCHR: "a character device",
    kinds_of.S_IFBLK: "a block device",
    kinds_of.S_IFLNK: "a symbolic link",
    kinds_of.S_IFIFO: "a named pipe",
    kinds_of.S_IFSOCK: "a socket",
}


def kind(mode: int) -> str:
    """What a file of this mode is, in words."""
    return _KINDS.get(kinds_of.S_IFMT(mode), "a file")


def open_file(path: Path, flags: int, kinds: Collection[int] = (), mode: int = 0o600) -> int:
    """open(2), of a kind that is in `kinds`, if any are given; close-on-exec. Raises OSError."""
    return call(path, lambda: _open(path, flags | os.O_CLOEXEC, kinds, mode), os.close)


def stat(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
    """stat(2). Raises OSError."""
    return call(path, lambda: os.stat(path, follow_symlinks=follow_symlinks))


def lstat(path: Path) -> os.stat_result:
    """lstat(2). Raises OSError."""
    return stat(path, follow_symlinks=False)


def is_directory(path: Path) -> bool:
    """As far as can be told in time."""
    try:
        return kinds_of.S_ISDIR(stat(path).st_mode)
    except (OSError, ValueError):
        return False


def listing(directory: bytes, most: int | None = None) -> list[tuple[bytes, int]]:
    """The names in a directory with their inodes, `most` of them. Raises OSError."""

    def work() -> list[tuple[bytes, int]]:
        with os.scandir(directory) as entries:
            return [(one.name, one.inode()) for one in itertools.islice(entries, most)]

    return call(directory, work)


def can(path: Path, mode: int) -> bool:
    """access(2) with the effective ids. Raises OSError when it cannot be told in time."""
    return call(path, lambda: os.access(path, mode, effective_ids=True))


def read(path: Path, most: int) -> bytes:
    """What a regular file holds. Raises OSError, with EFBIG when it is more than `most` bytes."""

    def work() -> bytes:
        fd = _open(path, os.O_RDONLY | os.O_CLOEXEC, (kinds_of.S_IFREG,), 0)
        if len(data := private.up_to(fd, most + 1)) > most:
            raise OSError(errno.EFBIG, f"it is larger than {most} bytes", os.fsdecode(path))
        return data

    return call(path, work)


def call(
    path: Path,
    work: Callable[[], T],
    undo: Callable[[T], object] | None = None,
    *,
    limit: float | None = None,
    check: Callable[[], object] = lambda: None,
) -> T:
    """`work()`, or OSError(ETIMEDOUT) after `limit` (LIMIT_S) seconds, or what `check` raises meanwhile.

    `undo` gets a result that comes when nobody waits any more.
    """
    limit = LIMIT_S if limit is None else limit
    task = _Task(work, undo)
    helper = _take()
    if helper is None:
        return work()  # no more threads are to be had: then it may wait
    helper.put(task)
    until = time.monotonic() + limit
    while not task.done.acquire(timeout=max(0.0, min(_CHECK_S, until - time.monotonic()))):
        try:
            check()
            if time.monotonic() >= until:
                raise OSError(
                    errno.ETIMEDOUT,
                    f"its file system has not answered for {limit:g} s",
                    os.fsdecode(path),
                )
        except BaseException:
            if task.leave():
                break  # it came in that very moment
            raise
    _idle.append(helper)
    if task.error is not None:
        raise task.error
    value: T = task.value
    return value


def _open(path: Path, flags: int, kinds: Collection[int], mode: int) -> int:
    makes = flags & os.O_CREAT or flags & os.O_TMPFILE == os.O_TMPFILE
    if makes or flags & os.O_PATH:
        return os.open(path, flags, mode)
    held = os.open(path, os.O_PATH | os.O_CLOEXEC | (flags & os.O_NOFOLLOW))
    try:
        there = os.fstat(held).st_mode
        if kinds and kinds_of.S_IFMT(there) not in kinds:
            raise OSError(errno.EINVAL, f"it is {kind(there)}", os.fsdecode(path))
        if kinds_of.S_ISLNK(there):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fsdecode(path))
        # By its path where O_NOFOLLOW is to be among its flags: the link to `held` cannot give that.
        own = path if flags & os.O_NOFOLLOW else f"/proc/self/fd/{held}"
        try:
            fd = os.open(own, flags | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            raise OSError(error.errno, error.strerror, os.fsdecode(path)) from None
        try:
            if own == path and not os.path.sameopenfile(fd, held):
                raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), os.fsdecode(path))
            if not flags & os.O_NONBLOCK:
                fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) & ~os.O_NONBLOCK)
        except BaseException:
            os.close(fd)
            raise
        return fd
    finally:
        os.close(held)


class _Task:
    """A call for a helper. `done` is released when it is."""

    def __init__(self, work: Callable[[], Any], undo: Callable[[Any], object] | None) -> None:
        self._work = work
        self._undo = undo
        self._settling = threading.Lock()
        self._left = False
        self.over = False
        self.done = threading.Lock()
        self.done.acquire()
        self.value: Any = None
        self.error: BaseException | None = None

    def run(self) -> bool:
        """In the helper: make the call. False when nobody waits any more."""
        try:
            self.value = self._work()
        except BaseException as error:
            self.error = error
        with self._settling:
            self.over = True
            if not self._left:
                self.done.release()
                return True
        if self.error is None and self._undo is not None:
            self._undo(self.value)
        return False

    def leave(self) -> bool:
        """By who waited: do so no more. True when it came in that very moment."""
        with self._settling:
            self._left = not self.over
            return self.over


_Helper = queue.SimpleQueue[_Task]
_idle: list[_Helper] = []


def _take() -> _Helper | None:
    try:
        return _idle.pop()
    except IndexError:
        pass
    helper: _Helper = queue.SimpleQueue()

    def serve() -> None:
        while helper.get().run():
            pass

    try:
        threading.Thread(target=serve, name="file helper", daemon=True).start()
    except RuntimeError:
        return None
    return helper


os.register_at_fork(after_in_child=_idle.clear)  # threads are not there any more
