"""The watches of a pod do not look while a checkpoint opens and reads files.

What a checkpoint does to files is done by a user like any other, so a watch of them tells of it: that
they were opened, read and closed. These three are taken out of the masks of the pod's watches and
put back before it goes on. What others do meanwhile is told but for these three.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...log import log
from . import instance
from .places import NAME, Place, Places

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile, FrozenPod

_CAUSED = instance.ACCESS | instance.OPEN | instance.CLOSE_NOWRITE


@dataclass(frozen=True)
class _Hushed:
    file: int
    fd: int
    number: int
    mask: int
    place: Place


class Hush:
    """Of one frozen pod, until `end`."""

    def __init__(self) -> None:
        self._hushed: list[_Hushed] = []
        self._fds: dict[int, int] = {}

    def begin(self, pod: FrozenPod) -> None:
        """After files are claimed, before any is opened."""
        files = pod.files(NAME)
        if not files:
            return
        known = Places.of(pod)
        self._hush(files, known)
        known.look_beside()
        self._hush(files, known)

    def _hush(self, files: list[FrozenFile], known: Places) -> None:
        done = {(one.file, one.number) for one in self._hushed}
        for file in files:
            for watch in instance.shown(file.info.get("inotify wd", [])):
                place = known.find(watch.inode)
                if place is None or not watch.mask & _CAUSED or (file.id, watch.number) in done:
                    continue
                if file.id not in self._fds:
                    self._fds[file.id] = os.dup(file.local)
                mask = known.mask(watch, place)
                one = _Hushed(file.id, self._fds[file.id], watch.number, mask, place)
                if _set(one, mask & ~_CAUSED, place.now):
                    self._hushed.append(one)

    def end(self) -> None:
        """As they were. Nothing if that is done."""
        moved = [
            (one, path) for one in self._hushed if (path := _where(one.place)) != one.place.now
        ]
        paths = dict(moved)
        for one in self._hushed:
            path = paths.get(one, one.place.now)
            if path is None or not _set(one, one.mask, path):
                log.warning("watch %d of %r tells less now", one.number, one.place.path)
        self._hushed.clear()
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()


def _set(one: _Hushed, mask: int, path: bytes) -> bool:
    with contextlib.suppress(OSError):  # it may not be read any more, or is gone
        got = instance.add(one.fd, path, mask)
        if got == one.number:
            return True
        instance.remove(one.fd, got)
    return False


def _where(place: Place) -> bytes | None:
    """Where it is now: others may have renamed it."""

    def is_it(path: bytes) -> bool:
        status = os.stat(path, follow_symlinks=place.file_id is not None)
        return (status.st_dev, status.st_ino) == place.key

    with contextlib.suppress(OSError):
        if is_it(place.now):
            return place.now
    with contextlib.suppress(OSError), os.scandir(os.path.dirname(place.now)) as beside:
        for entry in beside:
            if entry.inode() == place.key[1] and is_it(entry.path):
                return entry.path
    return None
