"""inotify(7): what an instance watches, and the events that were not read.

The kernel keeps of an instance: its watches, each of an inode, with a number and a mask; a queue of
events; the number that comes next. A watch is put back on the path of its inode (places), by that
number, and the queue is put back as it was (queue). That comes last of all, as a restore opens files;
and while a checkpoint does, the pod's watches do not look (hush).

Watches of what was renamed are found beside its old name or by an open file; of what was removed, if
the pod has it open. Others are refused, and so are those in /proc/PID.
Not carried: the cookies themselves, so both halves of a move have to be in the queue to be paired;
that a file system was unmounted; what others do in the moment in which a queue is put back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ...errors import RestoreError, UnsupportedResource
from ...linux import outside
from ...shapes import U32, Mode, NamesFile, Path, Range
from ...view.build import Stage
from ..common.file import Description, described, finish, restoring, unsupported
from ..room import Whole
from . import instance, places, queue
from .instance import Event
from .look import look
from .places import Place, Places
from .scratch import Scratch

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenPod

NAME = places.NAME

_DO = "see /proc/sys/fs/inotify, and whether what the pod watches may be read"
_OF_A_PROCESS = re.compile(rb"/proc/\d+(/|$)")


@dataclass(frozen=True)
class Watch:
    number: Annotated[int, Range(1, (1 << 31) - 1)]
    mask: U32
    path: Path
    file_id: NamesFile | None
    """Of an open file, if what is watched has no name."""
    kind: Mode


@dataclass(frozen=True)
class State(Description):
    watches: list[Watch]
    events: list[Event]
    next: Annotated[int, Range(1, (1 << 31) - 1)]


def claims(file: FrozenFile) -> bool:
    return file.link in ("anon_inode:inotify", "anon_inode:[inotify]")


def is_note(key: bytes, value: bytes) -> bool:
    """The path of a watch, and its mask."""
    return key.startswith(b"/") and b"\0" not in key and len(value) == 4


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        whole.refuse_twice("watch", (watch.number for watch in state.watches))


def capture(pod: FrozenPod) -> list[State]:
    files = pod.files(NAME)
    if not files:
        return []
    known = Places.of(pod)
    known.look_beside()
    states = []
    for file in files:
        found = [(watch, _place(file, watch, known)) for watch in _shown(file)]
        watches = [
            Watch(watch.number, known.mask(watch, place), place.path, place.file_id, place.kind)
            for watch, place in found
        ]
        events, following = _look(pod, file, {watch.number: place for watch, place in found})
        states.append(State(**described(pod, file), watches=watches, events=events, next=following))
    return states


def _shown(file: FrozenFile) -> list[instance.Shown]:
    return instance.shown(file.info.get("inotify wd", []))


def _place(file: FrozenFile, watch: instance.Shown, known: Places) -> Place:
    place = known.find(watch.inode)
    if place is None:
        device, number = watch.inode
        raise unsupported(
            file,
            f"watches a file that cannot be found (watch {watch.number})",
            needed="the path of each file that inotify watches, or the file open in the pod",
            found=f"inode {number} of device {device >> 20}:{device & 0xFFFFF}, which is not where it "
            "was when the watch was added, nor beside it",
            do="let the program watch it anew, or give the file its name back",
        )
    if _OF_A_PROCESS.match(place.path):
        raise unsupported(
            file,
            "watches a process in /proc",
            needed="files that are there after a move as well",
            found=os.fsdecode(place.path),
            do="let the program watch something else",
        )
    return place


def _look(pod: FrozenPod, file: FrozenFile, at: dict[int, Place]) -> tuple[list[Event], int]:
    """What is in the queue, and the next number; both are as they were, afterwards."""
    fd = os.dup(file.local)
    try:
        return look(fd, at, {place.key for place in Places.of(pod).all})
    except OSError as error:
        raise _unreadable(file, error) from error
    finally:
        os.close(fd)


def _unreadable(file: FrozenFile, error: OSError) -> UnsupportedResource:
    return unsupported(
        file,
        "is an inotify instance whose events cannot be looked at",
        needed="a kernel with CONFIG_CHECKPOINT_RESTORE, a directory for temporary files that is not "
        "watched, and room for one more watch (sysctl fs.inotify)",
        found=error.strerror or str(error),
    )


# -- restore


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.CLAIM, _claim, state)
        build.at(Stage.SHARED, _make, state, build)
    if states:
        build.at(Stage.RESUME, build.last.append, lambda: _watch_all(states, build))


def _claim(state: State) -> None:
    for watch in state.watches:
        if watch.file_id is not None:
            continue
        try:
            kind = stat.S_IFMT(outside.lstat(watch.path).st_mode)
        except OSError:
            kind = 0
        if kind != watch.kind:
            raise RestoreError(
                f"cannot restore a watch (inotify) of {os.fsdecode(watch.path)}",
                stage=Stage.CLAIM.name,
                resource=NAME,
                needed="everything that the pod watches, where it was",
                found="something else is there" if kind else "it is not there",
                do="put it there, or let the program end its watch first",
            )


def _make(state: State, build: Build) -> None:
    with restoring(
        NAME, Stage.SHARED, "an inotify instance", "raise fs.inotify.max_user_instances"
    ):
        finish(build, state, instance.create())


def _watch_all(states: list[State], build: Build) -> None:
    """Last of all, so that nothing that a restore does is seen."""
    watched = set()
    for watch in (watch for state in states for watch in state.watches):
        with contextlib.suppress(OSError):
            status = outside.stat(watch.path)
            watched.add((status.st_dev, status.st_ino))
    for state in states:
        _Filling(state, build, watched).begin(build)


class _Filling:
    """An instance that gets its watches and events."""

    def __init__(self, state: State, build: Build, watched: set[tuple[int, int]]) -> None:
        self._state = state
        self._watched = watched
        self._held = contextlib.ExitStack()
        self._fd = self._dup(build, state.file_id)
        self._at = {
            watch.number: watch.path
            if watch.file_id is None
            else b"/proc/self/fd/%d" % self._dup(build, watch.file_id)
            for watch in state.watches
        }
        self._size = -1

    def _dup(self, build: Build, file_id: int) -> int:
        fd = os.dup(build.file(file_id))
        self._held.callback(os.close, fd)
        return fd

    def begin(self, build: Build) -> None:
        try:
            with restoring(NAME, Stage.RESUME, "what is watched by inotify", _DO):
                self._fill()
        except RestoreError as error:
            full = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENOSPC
            if not (build.contended and full):  # there is room when the original has ended
                self._held.close()
                raise
        if build.contended and not build.rehearsal:
            build.at_thaw(self._end, self._held.close)
        else:
            self._held.close()

    def _end(self) -> None:
        """The original has ended on this very host, and was seen to do so."""
        if instance.waiting(self._fd) != self._size:
            self._fill(anew=True)
        self._held.close()

    def _fill(self, *, anew: bool = False) -> None:
        state, fd = self._state, self._fd
        with instance.undisturbed(fd):
            if state.events or anew:
                with Scratch(fd, self._watched) as scratch:
                    filler = queue.watch_filler(fd, scratch, state.next)
                    if anew:
                        numbers = [watch.number for watch in instance.watches(fd)]
                        numbers.remove(filler.number)
                        queue.take_with_watches(fd, filler, numbers)
                    queue.put_back(fd, filler, scratch, state.events, self._watch)
            else:
                self._watch()
            instance.set_next(fd, state.next)
            self._size = instance.waiting(fd)

    def _watch(self) -> None:
        for watch in self._state.watches:
            instance.add(self._fd, self._at[watch.number], watch.mask, watch.number)
