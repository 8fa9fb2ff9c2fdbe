"""Events, made to happen: to files and directories of ours, under the numbers of others' watches.

For each number there is one object in a scratch directory. It is watched for one event alone, just
for the moment in which that is made, so that what has to be prepared and cleaned up causes none.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable

from ...linux import scratch
from . import instance
from .instance import Event

_MADE = instance.ACCESS | instance.MODIFY | instance.ATTRIB | instance.OPEN
_MADE |= instance.CLOSE_WRITE | instance.CLOSE_NOWRITE
"""What happens to an object and is told by a watch on it, and by one on its directory with a name."""


def homes() -> list[str]:
    """Where temporary files may lie."""
    return ["/dev/shm", os.environ.get("TMPDIR", "/tmp"), "/tmp", "/var/tmp", os.getcwd()]


def home(watched: set[tuple[int, int]]) -> bytes:
    """A directory for temporary files that is none of these (device, inode)."""
    for path in homes():
        if not _is_watched(path, watched) and os.access(path, os.W_OK | os.X_OK):
            return os.fsencode(path)
    raise FileNotFoundError(errno.ENOENT, "every directory for temporary files is watched")


def _is_watched(path: str, watched: set[tuple[int, int]]) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return True
    return (status.st_dev, status.st_ino) in watched


class Scratch:
    """`fd` is the instance, `watched` what the pod watches: nothing happens there."""

    def __init__(self, fd: int, watched: set[tuple[int, int]]) -> None:
        self._fd = fd
        noted = not _is_watched(scratch.temporary_place(), watched)
        self._scratch = scratch.Scratch("zt", os.fsdecode(home(watched)), noted=noted)
        self._home = os.fsencode(self._scratch.path)
        self._aside = os.path.join(self._home, b"aside")
        os.mkdir(self._aside)
        self._at: dict[int, bytes] = {}
        self._moves = 0

    def __enter__(self) -> Scratch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._scratch.remove()

    @property
    def numbers(self) -> list[int]:
        """Of the watches that are there."""
        return list(self._at)

    def file(self) -> bytes:
        """A file of one byte."""
        path = os.path.join(self._home, b"file")
        _make(path, False)
        return path

    def make(self, events: list[Event]) -> None:
        """Make them, in this order: all but an overflow, and that a file system was unmounted."""
        directories = {e.number for e in events if e.name or e.mask & instance.ISDIR}
        done: set[int] = set()
        for i, event in enumerate(events):
            if i in done:
                continue
            other = _other_half(events, i) if event.mask & instance.MOVED_FROM else None
            for number in {event.number, events[i if other is None else other].number}:
                if number not in self._at:
                    self._watch(number, number in directories)
            if other is not None:  # one rename makes both
                done.add(other)
                self._move(event, events[other])
            elif event.mask & instance.DELETE_SELF:
                done |= _its_end(events, i)
                self._delete(event.number)
            else:
                self._make(event)

    def _watch(self, number: int, directory: bool) -> None:
        path = os.path.join(self._home, b"%d" % number)
        _make(path, directory)
        self._at[number] = path
        instance.add(self._fd, path, instance.NOTHING, number)

    def _happen(self, what: dict[int, int], work: Callable[[], object]) -> None:
        """Do `work` while these numbers are watched for these events."""
        for number, mask in what.items():
            instance.add(self._fd, self._at[number], mask)
        work()
        for number in what:
            instance.add(self._fd, self._at[number], instance.NOTHING)

    def _make(self, event: Event) -> None:
        kind = event.mask & ~instance.ISDIR
        directory = bool(event.mask & instance.ISDIR)
        own = self._at[event.number]
        child = os.path.join(own, event.name)
        if kind & _MADE:
            if event.name:
                _make(child, directory)
            self._do({event.number: kind}, kind, child if event.name else own, os.path.isdir(child))
            if event.name:
                _unmake(child)
        elif kind & instance.MOVE_SELF:
            self._moves += 1
            new = os.path.join(self._home, b"%d.%d" % (event.number, self._moves))
            instance.add(self._fd, own, kind)
            os.rename(own, new)
            self._at[event.number] = new
            instance.add(self._fd, new, instance.NOTHING)
        elif kind & instance.IGNORED:
            instance.remove(self._fd, event.number)
            _unmake(self._at.pop(event.number))
        elif kind & instance.CREATE:
            self._happen({event.number: kind}, lambda: _make(child, directory))
            _unmake(child)
        elif kind & instance.DELETE:
            _make(child, directory)
            self._happen({event.number: kind}, lambda: _unmake(child))
        elif kind & (instance.MOVED_FROM | instance.MOVED_TO):
            here, there = child, os.path.join(self._aside, b"moved")
            old, new = (here, there) if kind & instance.MOVED_FROM else (there, here)
            _make(old, directory)
            self._happen({event.number: kind}, lambda: os.rename(old, new))
            _unmake(new)

    def _delete(self, number: int) -> None:
        own = self._at.pop(number)
        instance.add(self._fd, own, instance.DELETE_SELF)
        _unmake(own)

    def _move(self, event: Event, other: Event) -> None:
        old = os.path.join(self._at[event.number], event.name)
        new = os.path.join(self._at[other.number], other.name)
        _make(old, bool(event.mask & instance.ISDIR))
        armed = {event.number: instance.MOVED_FROM}
        armed[other.number] = armed.get(other.number, 0) | instance.MOVED_TO
        self._happen(armed, lambda: os.rename(old, new))
        _unmake(new)

    def _do(self, armed: dict[int, int], kind: int, path: bytes, directory: bool) -> None:
        if kind & instance.ATTRIB:
            self._happen(armed, lambda: os.chmod(path, 0o700))
            return
        if kind & instance.OPEN:
            opened: list[int] = []
            self._happen(armed, lambda: opened.append(os.open(path, os.O_RDONLY)))
            os.close(opened[0])
            return
        writing = kind & (instance.MODIFY | instance.CLOSE_WRITE)
        fd = os.open(path, os.O_RDWR if writing else os.O_RDONLY)
        if kind & instance.MODIFY:
            self._happen(armed, lambda: os.pwrite(fd, b"x", 0))
        elif kind & instance.ACCESS:
            self._happen(armed, lambda: os.listdir(fd) if directory else os.pread(fd, 1, 0))
        else:
            self._happen(armed, lambda: os.close(fd))
            return
        os.close(fd)


def _other_half(events: list[Event], i: int) -> int | None:
    for j in range(i + 1, len(events)):
        if events[j].mask & instance.MOVED_TO and events[j].cookie == events[i].cookie:
            return j
    return None


def _its_end(events: list[Event], i: int) -> set[int]:
    """That its watch is gone, which comes by itself with the end of what was watched."""
    number = events[i].number
    after = (j for j in range(i + 1, len(events)) if events[j].number == number)
    return {j for j in after if events[j].mask & instance.IGNORED}


def _make(path: bytes, directory: bool) -> None:
    if directory:
        os.mkdir(path)
        return
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.write(fd, b"x")
    os.close(fd)


def _unmake(path: bytes) -> None:
    if os.path.isdir(path):
        os.rmdir(path)
    else:
        os.unlink(path)
