"""The watches of a pod do not look while a checkpoint opens and reads files.

What a checkpoint does to files is done by a user like any other, so a watch of them tells of it: that
they were opened, read and closed. These three are taken out of the masks of the pod's watches and
put back before it goes on. What others do meanwhile is told but for these three.
A rehearsal opens for writing what the pod has open so, and makes files without a name: what is told of
that is taken out of the queues again.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...linux import outside
from ...log import log
from . import instance
from .instance import Event
from .look import look
from .places import NAME, Place, Places

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile, FrozenPod

_NAMELESS = re.compile(rb"#\d+")
_CAUSED = instance.ACCESS | instance.OPEN | instance.CLOSE_NOWRITE


@dataclass(frozen=True)
class _Hushed:
    fd: int
    number: int
    mask: int
    place: Place


@dataclass
class _Instance:
    fd: int
    size: int
    """Of what was in its queue."""
    at: dict[int, Place]


class Hush:
    """Of one frozen pod, until `end`."""

    def __init__(self) -> None:
        self._hushed: list[_Hushed] = []
        self._instances: dict[int, _Instance] = {}
        self._watched: set[tuple[int, int]] = set()
        self._writing: set[tuple[int, int]] = set()
        """What the pod has open for writing, ..."""
        self._written: set[bytes] = set()
        """... and its names."""

    def begin(self, pod: FrozenPod) -> None:
        """After files are claimed, before any is opened."""
        files = pod.files(NAME)
        if not files:
            return
        for file in files:
            fd = os.dup(file.local)
            self._instances[file.id] = _Instance(fd, instance.waiting(fd), {})
        known = Places.of(pod)
        self._hush(files, known)
        known.look_beside()
        self._hush(files, known)
        self._watched = {place.key for place in known.all}
        for file in pod.all_files:
            if file.flags & os.O_ACCMODE != os.O_RDONLY and not file.flags & os.O_PATH:
                self._writing.add((file.stat.st_dev, file.stat.st_ino))
                self._written.add(os.fsencode(file.link))

    def _hush(self, files: list[FrozenFile], known: Places) -> None:
        for file in files:
            of = self._instances[file.id]
            for watch in instance.shown(file.info.get("inotify wd", [])):
                place = known.find(watch.inode)
                if place is None or watch.number in of.at:
                    continue
                of.at[watch.number] = place
                mask = known.mask(watch, place)
                one = _Hushed(of.fd, watch.number, mask, place)
                if mask & _CAUSED and _set(one, mask & ~_CAUSED, place.now):
                    self._hushed.append(one)

    def end(self, *, rehearsed: bool = False) -> None:
        """As they were. Nothing if that is done."""
        try:
            for of in self._instances.values():
                if rehearsed and instance.waiting(of.fd) > of.size:
                    try:
                        self._forget(of)
                    except OSError as error:
                        log.warning("what a rehearsal did is told to watches of it: %s", error)
            moved = {one: _where(one.place) for one in self._hushed}
            for one in self._hushed:
                path = moved[one]
                if path is None or not _set(one, one.mask, path):
                    log.warning("watch %d of %r tells less now", one.number, one.place.path)
        finally:
            self._hushed.clear()
            for of in self._instances.values():
                os.close(of.fd)
            self._instances.clear()

    def _forget(self, of: _Instance) -> None:
        """What a rehearsal has caused."""

        def edit(events: list[Event]) -> list[Event]:
            kept, size = [], 0
            for event in events:
                size += event.size
                if size <= of.size or not self._is_caused(event, of.at.get(event.number)):
                    kept.append(event)
            return kept

        look(of.fd, of.at, self._watched, edit)

    def _is_caused(self, event: Event, place: Place | None) -> bool:
        if place is None or _NAMELESS.fullmatch(event.name):
            return place is not None
        if not event.mask & instance.CLOSE_WRITE:
            return False
        if event.name:
            return os.path.join(place.path, event.name) in self._written
        return place.key in self._writing


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
        status = outside.stat(path, follow_symlinks=place.file_id is not None)
        return (status.st_dev, status.st_ino) == place.key

    with contextlib.suppress(OSError):
        if is_it(place.now):
            return place.now
    with contextlib.suppress(OSError):
        for name, inode in outside.listing(os.path.dirname(place.now)):
            path = os.path.join(os.path.dirname(place.now), name)
            if inode == place.key[1] and is_it(path):
                return path
    return None
