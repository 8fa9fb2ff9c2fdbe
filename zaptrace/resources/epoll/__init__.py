"""epoll(7): the files that an epoll instance watches, as /proc/PID/fdinfo shows them.

A watch is known to the kernel by the file *and* by the fd number that it was added under, which
the program will name again, so it is added back under that number (control). Which file that is, the
kernel has to be asked (target). What the next epoll_wait(2) tells is what it was, in the same order
(queue): a look at that has to be undone in the pod, and a file that is ready is told of as soon as it
is watched, so it is put right in both; last of all, when files have their contents.

A spent EPOLLONESHOT watch is armed for what its file is ready for, and spent by a wait (spent); that
comes before anything else is watched.

Not carried: the edge of an inotify instance of which some events wait (it is told once more, as
epoll(7) allows); a spent EPOLLONESHOT of what is ready for nothing, and is no pipe, hears of EPOLLERR
and EPOLLHUP until it is armed again.

No C half: what a watch reports is the program's own data, and fd numbers are not translated.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import select
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Annotated

from ...errors import ZaptraceError
from ...log import log
from ...shapes import Length
from ...view.build import Stage
from ..common.file import Description, described, finish, restoring, unsupported
from ..common.siginfo import number_of
from ..room import Whole, bad
from . import queue
from .control import Alone, Control
from .spent import spend
from .target import matching
from .watch import Watch

if TYPE_CHECKING:
    from ...linux.program import Program, Results
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenPod, FrozenProcess

NAME = "epoll"

_WATCH = re.compile(
    r"(?P<tfd>\d+)\s+events:\s*(?P<events>[0-9a-f]+)\s+data:\s*(?P<data>[0-9a-f]+)"
    r"(?:\s+pos:\s*-?\d+\s+ino:\s*(?P<ino>[0-9a-f]+)\s+sdev:\s*(?P<sdev>[0-9a-f]+))?"
)
_EPIOCSPARAMS, _EPIOCGPARAMS = 0x40088A01, 0x80088A02  # since Linux 6.9
_NO_PARAMS = bytes(8)
_SIGNALFD = "sigmask"
"""What only a signalfd tells of itself."""


@dataclass(frozen=True)
class State(Description):
    watches: list[Watch]
    polling: Annotated[bytes, Length(0, 8)]
    """struct epoll_params: how it polls network cards; b"" where the kernel has no such thing."""


def claims(file: FrozenFile) -> bool:
    return file.link == "anon_inode:[eventpoll]"


def verify(states: list[State], whole: Whole) -> None:
    try:
        _inner_first(states)
    except CycleError as error:
        raise bad(
            "an epoll instance watches itself", "no circle", f"{error.args[1]}"[:80]
        ) from None


def _inner_first(states: Iterable[State]) -> list[int]:
    """Their files, and those that they watch; an instance after the instances that it watches."""
    watched = {s.file_id: [watch.file_id for watch in s.watches] for s in states}
    return list(TopologicalSorter(watched).static_order())


# -- capture


def capture(pod: FrozenPod) -> list[State]:
    with _looked_at(pod, always=False) as states:
        return states


@contextlib.contextmanager
def undisturbed(pod: FrozenPod) -> Iterator[None]:
    """What is done to files within the block is told to nobody who watches them."""
    with _looked_at(pod, always=True):
        yield


@contextlib.contextmanager
def _looked_at(pod: FrozenPod, *, always: bool) -> Iterator[list[State]]:
    """The instances; afterwards they tell what they told (`always`: whatever came meanwhile)."""
    files: dict[int, FrozenFile] = {file.id: file for file in pod.files(NAME)}
    states = {file_id: _described(pod, file) for file_id, file in files.items()}
    order = [file_id for file_id in _inner_first(states.values()) if file_id in states]
    signalfds = {file.id for file in pod.all_files if _SIGNALFD in file.info}
    alone = _alone(states.values(), signalfds.__contains__)
    controls = {file_id: _control(pod, files[file_id], alone[file_id]) for file_id in order}
    looked: dict[int, list[Watch]] = {}
    try:
        for file_id in reversed(order):
            looked[file_id] = states[file_id].watches
            looked[file_id] = queue.look(controls[file_id], states[file_id].watches)
        yield [State(**{**vars(s), "watches": looked[s.file_id]}) for s in states.values()]
    finally:
        _put_back(order, controls, looked, always)


def _alone(states: Iterable[State], is_signalfd: Callable[[int], bool]) -> dict[int, Alone]:
    """Of each instance: what is ready for some threads only, as signals wait for these alone."""
    alone: dict[int, Alone] = {}
    by_file = {state.file_id: state for state in states}
    for file_id in _inner_first(by_file.values()):
        if file_id not in by_file:
            continue
        files, signalfds = set[int](), set[int]()
        for watch in by_file[file_id].watches:
            if within := alone.get(watch.file_id):
                signalfds |= within.signalfds
            if (within and within.files) or watch.askers:
                files.add(watch.file_id)
            if is_signalfd(watch.file_id):
                signalfds.add(watch.file_id)
        alone[file_id] = Alone(frozenset(files), frozenset(signalfds))
    return alone


def _control(pod: FrozenPod, file: FrozenFile, alone: Alone) -> Control:
    def run(vpid: int, vtid: int, program: Program) -> Results:
        process = pod.process(vpid)
        thread = next((t for t in process.threads if t.vtid == vtid), process.leader)
        return thread.run(program)

    return Control(
        lambda: file.local, lambda file_id: pod.all_files[file_id].local, run, False, alone
    )


def _put_back(
    order: list[int], controls: dict[int, Control], looked: dict[int, list[Watch]], always: bool
) -> None:
    """Of each instance what a look has taken; that changes those around it."""
    changed = set[int]()
    for file_id in order:
        watches = looked.get(file_id, [])
        around = any(w.edge and w.file_id in changed for w in watches)
        try:
            if always or around or queue.is_taken(watches):
                changed.add(file_id)
                queue.put(controls[file_id], watches)
        except (ZaptraceError, OSError) as error:
            log.warning("what epoll tells is told again, or not: %s", error)


def _described(pod: FrozenPod, file: FrozenFile) -> State:
    seen: Counter[int | tuple[str, ...]] = Counter()
    watches = []
    for line in file.info.get("tfd", []):
        found = _WATCH.match(line.strip())
        if found is None:
            raise unsupported(file, "watches something unreadable", found=f"tfd: {line}")
        number = int(found["tfd"])
        watches.append(_watch(pod, file, found, seen[number]))
        seen[number] += 1
    return State(**described(pod, file), watches=watches, polling=_polling(file.local))


def _polling(epoll: int) -> bytes:
    try:
        return fcntl.ioctl(epoll, _EPIOCGPARAMS, _NO_PARAMS)
    except OSError as error:
        if error.errno not in (errno.ENOTTY, errno.EINVAL, errno.EOPNOTSUPP):
            raise
        return b""


def _watch(pod: FrozenPod, file: FrozenFile, found: re.Match[str], nth: int) -> Watch:
    """The `nth` of its number."""
    number = int(found["tfd"])
    matches = matching(file, found, number, nth)

    def make(target: FrozenFile, process: FrozenProcess | None, epoll_fd: int, fd: int) -> Watch:
        now = process.fds.get(number) if process is not None else None
        return Watch(
            number=number,
            events=int(found["events"], 16),
            data=int(found["data"], 16),
            file_id=target.id,
            vpid=process.vpid if process is not None else 0,
            epoll_fd=epoll_fd,
            file_fd=fd,
            taken=now is not None,
            taken_cloexec=now is not None and now.cloexec,
            ready=0,
            told=0,
            askers=_threads_it_is_ready_for(process, target) if process is not None else [],
        )

    for process, epoll_fd in file.holders:
        fd = process.fds.get(number)
        if fd is not None and matches(fd.file):
            return make(fd.file, process, epoll_fd, number)
    for process, epoll_fd in file.holders:
        for fd in process.fds.values():
            if matches(fd.file):
                return make(fd.file, process, epoll_fd, fd.number)
    for other in pod.all_files:
        if matches(other):
            return make(other, None, 0, 0)
    raise unsupported(
        file,
        f"watches a file that is open nowhere in the pod (it was fd {number})",
        needed="every file that an epoll instance watches open in the pod",
        do="let the program remove the file with EPOLL_CTL_DEL before it gives it away",
    )


def _threads_it_is_ready_for(process: FrozenProcess, file: FrozenFile) -> list[int]:
    """For which alone it is, as a signal waits for them that a signalfd tells."""
    if _SIGNALFD not in file.info:
        return []
    mask = int(file.info[_SIGNALFD][0], 16)
    return [
        thread.vtid
        for thread in process.threads
        if any(mask >> (number_of(info) - 1) & 1 for info in thread.pending(shared=False))
    ]


# -- restore


def restore(states: list[State], build: Build) -> None:
    for state in states:
        build.at(Stage.SHARED, _make, state, build)
    if states:
        by_file = {state.file_id: state for state in states}
        ordered = [by_file[file_id] for file_id in _inner_first(states) if file_id in by_file]
        build.at(Stage.RESUME, build.last.append, lambda: _watch_all(ordered, build))


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "an epoll instance"):
        epoll = select.epoll()
        fd = os.dup(epoll.fileno())
        epoll.close()
        if state.polling not in (b"", _NO_PARAMS):
            fcntl.ioctl(fd, _EPIOCSPARAMS, state.polling)
        finish(build, state, fd)


def _watch_all(states: list[State], build: Build) -> None:
    """When files have their contents; what is filled at the thaw is put right behind that."""
    do = "raise ulimit -n and fs.epoll.max_user_watches, or let the program keep the files open"
    with restoring(NAME, Stage.RESUME, "what is watched by epoll", do):
        alone = _alone(states, lambda file_id: _is(build.file(file_id), "signalfd"))
        fillings = [_Filling(state, build, alone[state.file_id]) for state in states]
        for filling in fillings:
            filling.add()
        for filling in fillings:
            filling.begin()


def _is(fd: int, kind: str) -> bool:
    return os.readlink(f"/proc/self/fd/{fd}") == f"anon_inode:[{kind}]"


class _Filling:
    """An instance that gets its watches."""

    def __init__(self, state: State, build: Build, alone: Alone) -> None:
        self._watches = state.watches
        self._build = build
        self._held: dict[int, int] = {}
        self._epoll = state.file_id
        self._alone = alone
        self._control = Control(
            lambda: self._file(state.file_id), self._file, self._run, True, alone
        )

    def add(self) -> None:
        control = self._control
        spend(control, [w for w in self._watches if w.spent], self._file)
        for watch in queue.in_order(w for w in self._watches if not w.spent):
            control.add(watch, watch.events)
        control.end()

    def begin(self) -> None:
        """When all instances have their watches: who adds one looks into what it is of."""
        queue.put(self._control, self._watches)
        if self._is_told_again() and not self._build.rehearsal:
            ours = {w.file_id for w in self._watches if not w.here}
            for file_id in {self._epoll, *ours, *self._alone.files, *self._alone.signalfds}:
                self._held[file_id] = os.dup(self._build.file(file_id))
            self._build.at_thaw(self._end, self._close)

    def _is_told_again(self) -> bool:
        """Is something filled at the thaw of which the program was told already?"""
        known = [w for w in self._watches if w.edge and w.ready and not w.told]
        return bool(known) and (
            self._build.contended or any(_is(self._file(w.file_id), "timerfd") for w in known)
        )

    def _end(self) -> None:
        try:
            queue.put(self._control, self._watches)
        finally:
            self._close()

    def _close(self) -> None:
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()

    def _file(self, file_id: int) -> int:
        """At the thaw, the build has no files any more."""
        return self._held[file_id] if self._held else self._build.file(file_id)

    def _run(self, vpid: int, vtid: int, program: Program) -> Results:
        process = self._build.process(vpid)
        return process.threads.get(vtid, process.leader).run(program)
