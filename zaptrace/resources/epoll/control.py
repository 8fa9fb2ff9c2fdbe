"""epoll_ctl(2) and epoll_wait(2) on an instance, by a process that has it and what it watches.

The kernel looks up a file by its number in the table of whoever asks, and a signalfd is ready or not
for whoever asks. So processes do both, and only for what no process has we do it, in a table apart.
A wait forgets what is not ready for the thread that waits: a thread asks for which a signal waits.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import select
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    askers: dict[int, int] = field(default_factory=dict)
    """Of a process: the thread that asks; of others any does."""
    _runner: tuple[int, int] = (0, 0)
    """Process and thread."""
    _program: Program = field(default_factory=Program)

    def add(self, watch: Watch, events: int) -> None:
        self._change(ADD, watch, events, self._asker(watch))

    def arm(self, watch: Watch, events: int, thread: int | None = None) -> None:
        """Watch for `events` from now on; it is told of if the file is ready, for that thread."""
        asker = self._asker(watch) if thread is None else thread
        if watch.events & _EXCLUSIVE:  # these cannot be changed
            self._change(DELETE, watch, events, asker)
            self._change(ADD, watch, events, asker)
        else:
            self._change(MODIFY, watch, events, asker)

    def arm_for_others(self, watches: Iterable[Watch]) -> None:
        """Signals that wait for further threads: of these it is told once more."""
        for watch in watches:
            for thread in watch.askers:
                if thread != self._asker(watch) and not watch.spent:
                    self.arm(watch, watch.events, thread)
        self.end()

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
        if asker is None:
            told = ctypes.create_string_buffer(size)
            count = checked(libc.epoll_wait(self.epoll(), told, most, 0))
            return list(EVENT.iter_unpack(told.raw[: count * EVENT.size]))
        program = Program()
        got = program.buffer(size)
        row = program.call("epoll_pwait", asker.epoll_fd, got, most, 0, 0, 8)
        results = self.run(asker.vpid, self._asker(asker), program)
        return list(EVENT.iter_unpack(results.bytes(got)[: results[row] * EVENT.size]))

    def ready(self, watches: Sequence[Watch]) -> dict[Watch, int]:
        """What poll(2) says of their files now."""
        self.end()
        answers = {w: self._ready_for_us(w) for w in watches if not w.vpid}
        for vpid in sorted({w.vpid for w in watches if w.vpid}):
            those = [w for w in watches if w.vpid == vpid]
            program = Program()
            polled = program.data(b"".join(_POLLFD.pack(w.file_fd, _ASKED, 0) for w in those))
            program.call("poll", polled, len(those), 0)
            raw = self.run(vpid, self.askers.get(vpid, 0), program).bytes(polled)
            found = (events for _, _, events in _POLLFD.iter_unpack(raw))
            answers |= dict(zip(those, found, strict=True))
        return answers

    def _ready_for_us(self, watch: Watch) -> int:
        poll = select.poll()
        poll.register(self.file(watch.file_id), _ASKED)
        return next((events for _, events in poll.poll(0)), 0)

    def _asker(self, watch: Watch) -> int:
        return self.askers.get(watch.vpid, 0)

    def _change(self, change: int, watch: Watch, events: int, asker: int) -> None:
        event = EVENT.pack(events, watch.data)
        if not watch.here and not (self.borrow and watch.vpid):
            self.end()
            apart(lambda: self._change_apart(change, watch, event))
            return
        if (watch.vpid, asker) != self._runner:
            self.end()
            self._runner = watch.vpid, asker
        if watch.here:
            self._in_program(change, watch, event)
        else:
            self._in_program_borrowing(change, watch, event)

    def _change_apart(self, change: int, watch: Watch, event: bytes) -> None:
        epoll = under(watch.number, self.file(watch.file_id), self.epoll())
        checked(libc.epoll_ctl(epoll, change, watch.number, ctypes.create_string_buffer(event)))

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


def under(number: int, file: int, epoll: int) -> int:
    """In a process of its own: give the file that number; the epoll instance may need another."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if number == epoll:
        epoll = os.dup(epoll)
    os.dup2(file, number)
    return epoll
