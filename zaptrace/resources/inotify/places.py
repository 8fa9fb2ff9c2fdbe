"""Where the inodes are that a pod watches.

The kernel shows their numbers, as stat(2) does not on some file systems. So a path is tried: watched
by an instance of ours, which then shows whether it is the same. Paths are those that were noted
when watches were added, those of open files, and, if none of these is it any more, their neighbours:
what was renamed is mostly found beside its old name, and so is what lies below it.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...linux import outside
from . import instance
from .instance import HIDDEN, Inode

if TYPE_CHECKING:
    from ...view.frozen import FrozenPod

NAME = "inotify"

_NEIGHBOURS = 10_000  # names looked at in one directory, at most
_BELOW = 10_000  # names looked at below directories that may have been renamed, at most
_Listed = Callable[[bytes], list[tuple[bytes, int]]]


@dataclass(frozen=True)
class Place:
    path: bytes
    """Its name; of what was removed, the one that it had."""
    file_id: int | None
    """Of an open file, if it has no name."""
    now: bytes
    """By this it can be watched and opened, at present."""
    key: tuple[int, int]
    """As stat(2) shows it."""
    kind: int


class Places:
    """`Places.of(pod)`: worked out once. Looking causes no event, but `look_beside` does."""

    def __init__(self, pod: FrozenPod) -> None:
        self._pod = pod
        self._found: dict[Inode, Place] = {}
        self._noted = pod.store(NAME)
        self._wanted = {
            watch.inode for file in pod.all_files for watch in instance.shown(_lines(file.info))
        }
        if self._wanted:
            self._try(_Try(path, path) for path in self._noted)
            self._try(self._held())
        self.shows_all = not self._wanted or _shows_all()

    @classmethod
    def of(cls, pod: FrozenPod) -> Places:
        found = pod.worked_out.get(cls) or cls(pod)
        assert isinstance(found, cls)
        pod.worked_out[cls] = found
        return found

    @property
    def all(self) -> list[Place]:
        return list(self._found.values())

    def find(self, inode: Inode) -> Place | None:
        return self._found.get(inode)

    def mask(self, shown: instance.Shown, place: Place) -> int:
        """The whole mask of a watch."""
        if self.shows_all:
            return shown.mask
        return shown.mask | int.from_bytes(self._noted.get(place.path, b""), "little") & HIDDEN

    def look_beside(self) -> None:
        """Look for what was not found where it was, in the same directories."""
        if self._wanted - set(self._found):
            directories = {os.path.dirname(path) for path in self._noted}
            directories |= {
                place.path for place in self._found.values() if stat.S_ISDIR(place.kind)
            }
            self._try(self._beside(directories))
        if self._wanted - set(self._found):
            self._try(self._below_renamed())

    def _held(self) -> Iterator[_Try]:
        """What processes have open, and where they are."""
        if not self._wanted - set(self._found):
            return
        for process in self._pod.processes:
            for name in ("cwd", "root", "exe"):
                link = b"%s/%s" % (process.proc.encode(), name.encode())
                with contextlib.suppress(OSError):
                    path = os.readlink(link)
                    yield _Try(path, path)
        numbers = {number for _, number in self._wanted}
        for file in sorted(self._pod.all_files, key=lambda f: f.stat.st_ino not in numbers):
            if not file.link.startswith("/") or not file.holders:
                continue
            path = os.fsencode(file.link)
            process, fd = file.holders[0]
            yield _Try(path, path)
            yield _Try(path, b"/proc/%d/fd/%d" % (process.lives_in, fd), file.id)

    def _beside(self, directories: set[bytes]) -> Iterator[_Try]:
        numbers = {number for _, number in self._wanted - set(self._found)}
        for directory in directories:
            with contextlib.suppress(OSError):
                for name, inode in outside.listing(directory, _NEIGHBOURS):
                    if inode in numbers:
                        path = os.path.join(directory, name)
                        yield _Try(path, path)

    def _below_renamed(self) -> Iterator[_Try]:
        """What was watched below a directory that has another name now, beside its old one."""
        numbers = {number for _, number in self._wanted - set(self._found)}
        renamed: dict[bytes, bytes] = {}
        looks = _BELOW
        listed = functools.cache(lambda directory: outside.listing(directory, _NEIGHBOURS))
        gone = self._noted.keys() - {place.path for place in self._found.values()}
        for path in sorted(gone):
            known = (new + path[len(old) :] for old, new in renamed.items() if path.startswith(old))
            for old, candidate in itertools.chain(
                ((b"", now) for now in known), _others(path, listed)
            ):
                if looks == 0:
                    return
                looks -= 1
                with contextlib.suppress(OSError):
                    if outside.lstat(candidate).st_ino in numbers:
                        yield _Try(candidate, candidate)
                        if old:
                            renamed[old] = candidate[: len(candidate) - len(path) + len(old)]
                        break

    def _try(self, candidates: Iterable[_Try]) -> None:
        fd = instance.create()
        tried: dict[int, _Try] = {}
        try:
            for one in candidates:
                with contextlib.suppress(OSError):  # it leads nowhere, or may not be read
                    tried.setdefault(instance.add(fd, one.now, instance.NOTHING), one)
            for watch in instance.watches(fd):
                if watch.inode in self._wanted and watch.inode not in self._found:
                    one = tried[watch.number]
                    with contextlib.suppress(FileNotFoundError):
                        self._found[watch.inode] = one.place()
        finally:
            os.close(fd)


@dataclass(frozen=True)
class _Try:
    path: bytes
    now: bytes
    file_id: int | None = None

    def place(self) -> Place:
        status = outside.stat(self.now, follow_symlinks=self.file_id is not None)
        key = (status.st_dev, status.st_ino)
        return Place(self.path, self.file_id, self.now, key, stat.S_IFMT(status.st_mode))


def _others(path: bytes, listed: _Listed) -> Iterator[tuple[bytes, bytes]]:
    """(a directory above `path`, what `path` would be if that were one of its neighbours)."""
    above = os.path.dirname(path)
    while (top := os.path.dirname(above)) != above:
        with contextlib.suppress(OSError):
            for name, _ in listed(top):
                new = os.path.join(top, name)
                if new != above:
                    yield above + b"/", new + path[len(above) :]
        above = top


def _lines(info: dict[str, list[str]]) -> list[str]:
    return info.get("inotify wd", [])


def _shows_all() -> bool:
    """Does this kernel show all of a mask?"""
    fd = instance.create()
    try:
        instance.add(fd, b"/", instance.NOTHING | instance.EXCL_UNLINK)
        return bool(instance.watches(fd)[0].mask & instance.EXCL_UNLINK)
    finally:
        os.close(fd)
