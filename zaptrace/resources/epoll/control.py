"""epoll_ctl(2) and epoll_wait(2) on an instance, by a process that has it and what it watches.

The kernel looks up a file by its number in the table of whoever asks, so processes do that, and only
for what no process has we do it, in a table apart.

A signalfd is ready or not for whoever asks, and a wait forgets what is not ready for the thread that
waits. So where signals wait for threads alone, we ask, apart, with a signal of each signalfd waiting
for us: nothing is forgotten, and what is armed is told of. Only we can be sent such a signal: one for
the pod's process would have all of its signalfds told of again.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import resource
import select
import signal
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from ...linux.program import Program
from ..common.libc import apart, checked, libc

if TYPE_CHECKING:
    from ...linux.program import Results
    from .watch import Watch

EVENT = struct.Struct("=IQ")  # struct epoll_event, packed on x86-64
ADD, DELETE, MODIFY = 1, 2, 3
_ASKED = 0x27C7  # all that poll(2) can be asked for
_POLLFD = struct.Struct("=iHH")
_ABOVE_STDIO = 3
_MOST = 10_000
"""Of what one wait tells."""
_EXCLUSIVE = 1 << 28
_SIGNALS = re.compile(r"^sigmask:\s*([0-9a-f]+)$", re.MULTILINE)
T = TypeVar("T")


@dataclass(frozen=True)
class Alone:
    """Of an instance: what in it is ready for some threads, and not for others."""

    files: frozenset[int] = frozenset()
    """Signalfds, and instances with such in them."""
    signalfds: frozenset[int] = frozenset()
    """All that are watched by it, or within it."""


@dataclass
class Control:
    """Of one instance. Changes are made in order, many in one program."""

    epoll: Callable[[], int]
    """A descriptor of ours."""
    file: Callable[[int], int]
    """The same of a file of the pod, by its id."""
    run: Callable[[int, int, Program], Results]
    """Have a process run a program in one of its threads; 0: in any."""
    borrow: bool
    """May a process have a file under another number for a moment? Its locks end with that."""
    alone: Alone = field(default_factory=Alone)
    _runner: tuple[int, int] = (0, 0)
    """Process and thread."""
    _program: Program = field(default_factory=Program)

    def add(self, watch: Watch, events: int) -> None:
        """Who adds it looks whether it is ready, and within it: do so before anything is armed."""
        self._change(ADD, watch, events)

    def arm(self, watch: Watch, events: int) -> None:
        """Watch for `events` from now on; it is told of if the file is ready."""
        if watch.events & _EXCLUSIVE:  # these cannot be changed
            thread = watch.askers[0] if watch.askers else 0
            self._change(DELETE, watch, events, thread)
            self._change(ADD, watch, events, thread)
        elif self.is_alone(watch):
            self.end()
            self._change_apart(MODIFY, watch, EVENT.pack(events, watch.data))
        else:
            self._change(MODIFY, watch, events)

    def has_to_place(self, watch: Watch) -> bool:
        """Has what is told of it to be put into its place again?"""
        return watch.edge or watch.oneshot or (self.borrow and self.is_alone(watch))

    def is_new(self, watch: Watch, ready: int) -> bool:
        """It is told now, and was not: is it ready for more, or told by itself?"""
        by_itself = not self.borrow and watch.file_id in self.alone.signalfds
        return by_itself or bool(ready & watch.events & ~watch.ready)

    def end(self) -> None:
        """All changes are made."""
        program, self._program = self._program, Program()
        if program:
            self.run(*self._runner, program)

    def wait(self, watches: Sequence[Watch]) -> list[tuple[int, int]]:
        """(events, data) of all that is told now, in order."""
        self.end()
        told: list[tuple[int, int]] = []
        for _ in range(0, len(watches), _MOST):
            told += self._wait_once(watches)
        return told

    def _wait_once(self, watches: Sequence[Watch]) -> list[tuple[int, int]]:
        most = min(len(watches), _MOST)
        size = most * EVENT.size
        asker = next((watch for watch in watches if watch.vpid), None)
        if self.alone.files:
            return self._apart_with_signals(lambda: _wait(self.epoll(), most))
        if asker is None:
            return _wait(self.epoll(), most)
        program = Program()
        got = program.buffer(size)
        row = program.call("epoll_pwait", asker.epoll_fd, got, most, 0, 0, 8)
        results = self.run(asker.vpid, 0, program)
        return list(EVENT.iter_unpack(results.bytes(got)[: results[row] * EVENT.size]))

    def ready(self, watches: Sequence[Watch]) -> dict[Watch, int]:
        """What poll(2) says of their files now."""
        self.end()
        answers = {w: _ready(self.file(w.file_id)) for w in watches if not w.vpid}
        alone = [w for w in watches if self.is_alone(w)]
        if alone:
            answers |= self._ready_alone(alone)
        for vpid in sorted({w.vpid for w in watches if w not in answers}):
            those = [w for w in watches if w.vpid == vpid and w not in answers]
            program = Program()
            polled = program.data(b"".join(_POLLFD.pack(w.file_fd, _ASKED, 0) for w in those))
            program.call("poll", polled, len(those), 0)
            raw = self.run(vpid, 0, program).bytes(polled)
            found = (events for _, _, events in _POLLFD.iter_unpack(raw))
            answers |= dict(zip(those, found, strict=True))
        return answers

    def _ready_alone(self, watches: Sequence[Watch]) -> dict[Watch, int]:
        files = [self.file(watch.file_id) for watch in watches]
        found = self._apart_with_signals(lambda: [_ready(file) for file in files])
        return dict(zip(watches, found, strict=True))

    def is_alone(self, watch: Watch) -> bool:
        return watch.file_id in self.alone.files

    def _change(self, change: int, watch: Watch, events: int, thread: int = 0) -> None:
        event = EVENT.pack(events, watch.data)
        if not watch.here and not (self.borrow and watch.vpid):
            self.end()
            self._change_apart(change, watch, event)
            return
        if (watch.vpid, thread) != self._runner:
            self.end()
            self._runner = watch.vpid, thread
        if watch.here:
            self._in_program(change, watch, event)
        else:
            self._in_program_borrowing(change, watch, event)

    def _change_apart(self, change: int, watch: Watch, event: bytes) -> None:
        def work() -> None:
            epoll = under(watch.number, self.file(watch.file_id), self.epoll())
            checked(libc.epoll_ctl(epoll, change, watch.number, ctypes.create_string_buffer(event)))

        if self.is_alone(watch):
            self._apart_with_signals(work)
        else:
            apart(work)

    def _apart_with_signals(self, work: Callable[[], T]) -> T:
        """In a process for which each signalfd is ready."""
        signalfds = [self.file(file_id) for file_id in sorted(self.alone.signalfds)]

        def ready() -> T:
            signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
            for fd in signalfds:
                _send_one_of(fd)
            return work()

        return apart(ready)

    def _in_program(self, change: int, watch: Watch, event: bytes) -> None:
        program = self._program
        program.call("epoll_ctl", watch.epoll_fd, change, watch.number, program.data(event))

    def _in_program_borrowing(self, change: int, watch: Watch, event: bytes) -> None:
        """It has closed the number, or has another file there."""
        program, number = self._program, watch.number
        saved = None
        if watch.taken:
            saved = program.call("fcntl", number, fcntl.F_DUPFD_CLOEXEC, _ABOVE_STDIO)
        program.call("dup3", watch.file_fd, number, 0)
        self._in_program(change, watch, event)
        if saved is None:
            program.call("close", number)
        else:
            program.call("dup3", saved, number, os.O_CLOEXEC if watch.taken_cloexec else 0)
            program.call("close", saved)


def _wait(epoll: int, most: int) -> list[tuple[int, int]]:
    told = ctypes.create_string_buffer(most * EVENT.size)
    count = checked(libc.epoll_wait(epoll, told, most, 0))
    return list(EVENT.iter_unpack(told.raw[: count * EVENT.size]))


def _ready(file: int) -> int:
    poll = select.poll()
    poll.register(file, _ASKED)
    return next((events for _, events in poll.poll(0)), 0)


def _send_one_of(signalfd: int) -> None:
    """A signal that it tells of, to ourselves, who block them all."""
    with open(f"/proc/self/fdinfo/{signalfd}") as info:
        found = _SIGNALS.search(info.read())
    mask = int(found[1], 16) if found else 0
    if mask:
        os.kill(os.getpid(), (mask & -mask).bit_length())


def under(number: int, file: int, epoll: int) -> int:
    """In a process of its own: give the file that number; the epoll instance may need another."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if number == epoll:
        epoll = os.dup(epoll)
    os.dup2(file, number)
    return epoll
