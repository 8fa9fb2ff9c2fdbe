"""What waits in a terminal can only be seen by taking it, and then has to be put back as it was.

    typed ──> master ──> [raw] ──worker──> [ lines | rest ] ──> slave ──> read by the program
    read  <── master <── [        output                  ] <── slave <── written by the program

Up to 4095 bytes are in the line discipline's buffer, where they have been looked at (echoed, edited,
taken for signals) when they came in. What is typed beyond is *raw*: it waits before that, and will
be looked at when the program has read most of the rest. A worker of the kernel moves it.

So what we write to the master arrives some time later, under the settings of that time. That it has
arrived is told by a count: in non-canonical mode of all, in canonical mode of ended lines. Where
that does not do we write one character more, which stops the output (as ^S does), and wait until it
is stopped: characters are taken in their order, and this one also when the buffer is full (before
Linux 6.1 it is not, and then we have to say that we do not know). It then stays behind the buffer,
without effect: if the program has ^S and ^Q itself, it is these that we use.

Not quite as it was: a line's end that was quoted by ^V ends a line; an echo for which there was no
place comes when there is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ...shapes import Data
from . import packets
from .ends import (
    BY_CALL,
    BY_CHARACTER,
    EXTPROC,
    RUNNING,
    TIOCGPKT,
    Termios,
    events,
    get_termios,
    number,
    set_number,
    set_termios,
    wait_until,
)

_LIMIT_S = 5.0
_SMALL, _LARGE = 256, 1792
"""Sizes of the kernel's buffers, drivers/tty/tty_buffer.c."""


@dataclass(frozen=True)
class Input:
    """What waits on the slave's side."""

    lines: list[Data]
    """Ended ones, in canonical mode; one that does not end in a line's end was ended by ^D."""
    rest: Data
    """Not ended yet; without canonical mode all of it."""
    raw: Data = b""
    """Not looked at yet."""


def unprocessed(before: Termios, characters: Characters | None = None) -> Termios:
    """Settings under which what is written to either end arrives as it is.

    In canonical mode only the characters that end a line mean something. Leaving or entering it
    would forget where lines end, clearing IXON starts output that is stopped.
    """
    kept = termios.ICANON | EXTPROC | (termios.IEXTEN if before.canonical else 0)
    cc = bytearray(len(before.cc))
    if before.canonical:
        for name in ("VEOL", "VEOL2"):
            cc[getattr(termios, name)] = before.cc[getattr(termios, name)]
    else:
        cc[termios.VMIN] = 1
    if characters:
        cc[termios.VEOF] = characters.end_of_file if before.canonical else 0
        cc[termios.VSTOP] = characters.stop
        cc[termios.VSTART] = characters.start
    return before.but(
        iflag=termios.IXON if characters else before.iflag & termios.IXON,
        oflag=before.oflag & ~termios.OPOST,
        lflag=before.lflag & kept,
        cc=bytes(cc),
    )


def enders(of: Termios) -> set[bytes]:
    """The characters that end a line and stay in it."""
    names = ("VEOL", "VEOL2") if of.lflag & termios.IEXTEN else ("VEOL",)
    return {b"\n"} | {of.cc[at : at + 1] for at in (getattr(termios, n) for n in names)} - {b"\0"}


def split(content: bytes, count: int, ended: set[bytes]) -> tuple[list[bytes], bytes]:
    """What the buffer holds, as lines of `count` bytes together and what follows.

    ^D is a NUL in the buffer, which `count` leaves out. One that was typed is a NUL as well: if
    their number does not fit there is none of the former.
    """
    for end_of_file in ({b"\0"}, set[bytes]()):
        lines, line, at, left = list[bytes](), b"", 0, count
        while at < len(content):
            byte = content[at : at + 1]
            if byte in end_of_file:
                lines.append(line)
                line = b""
            elif left == 0:
                break
            else:
                line += byte
                left -= 1
                if byte in ended:
                    lines.append(line)
                    line = b""
            at += 1
        if not left and not line:
            return lines, content[at:]
    return [content[:count]], content[count:]


@dataclass(frozen=True)
class Characters:
    """That mean something while we put back what waits; none of them is in it."""

    end_of_file: int
    stop: int
    start: int
    """0: there is none, and what stops must not stay behind the buffer."""

    @staticmethod
    def for_(before: Termios, data: bytes) -> Characters:
        taken = data + b"".join(enders(before))
        free = [c for c in (4, *range(0xFF, 0, -1)) if c not in taken] or [4]
        free = list(dict.fromkeys([*free, 0x13]))
        own = _flow_control(before)
        if own and not any(c in data for c in own):
            return Characters(next(c for c in free if c not in own), own[0], own[1])
        return Characters(free[0], free[1], 0)


def _flow_control(of: Termios) -> tuple[int, int] | None:
    """The program's ^S and ^Q."""
    stop, start = of.cc[termios.VSTOP], of.cc[termios.VSTART]
    known = of.iflag & termios.IXON and stop and start and stop != start
    return (stop, start) if known else None


def _without_ours(raw: bytes, before: Termios, stopped: str) -> bytes:
    """Without the ^S, and mostly ^Q, that we have left there once."""
    own = _flow_control(before)
    if not own:
        return raw
    while raw.startswith(bytes(own)):
        raw = raw[2:]
    return raw[1:] if stopped == BY_CHARACTER and raw[:1] == bytes(own[:1]) else raw


@contextlib.contextmanager
def in_hands(master: int, slave: int, *, seen: bool = False) -> Iterator[Hands]:
    """Afterwards settings, packet mode and blocking are as they were, whatever happened."""
    before = get_termios(slave)
    hands = Hands(master, slave, Termios.of(before), seen)
    with contextlib.ExitStack() as stack:
        if os.get_blocking(master):
            os.set_blocking(master, False)
            stack.callback(os.set_blocking, master, True)
        if number(master, TIOCGPKT):
            hands.told = packets.take(master)
            stack.callback(hands.tell)
            set_number(master, termios.TIOCPKT, 0)
            stack.callback(set_number, master, termios.TIOCPKT, 1)
        stack.callback(set_termios, slave, before)
        yield hands


class LostError(Exception):
    """Something that was taken could not be put back; the text says what."""


@dataclass
class Hands:
    """Both ends of a terminal in our hands, its packet mode off, the master not blocking.

    `seen` says that somebody else reads the master meanwhile: packet mode would show him.
    """

    master: int
    slave: int
    before: Termios
    seen: bool
    told: int = 0
    """What packet mode had to tell."""
    _typed: bool = False
    _written: bool = False
    _stopped: str = RUNNING

    # -- taking

    def take_output(self) -> bytes:
        output = b""
        while events(self.master) & select.POLLIN:
            try:
                output += os.read(self.master, 65536)
            except OSError as error:
                if error.errno != errno.EIO:  # every slave is closed
                    raise
                break
        return output

    def start(self) -> str:
        """Start the output if it is stopped, and say how it was: RUNNING, ..."""
        if events(self.slave, select.POLLOUT) & select.POLLOUT:
            return RUNNING
        if self.seen and wait_until(lambda: self._writable, 0.2):
            return RUNNING
        with self._packets():
            termios.tcflow(self.slave, termios.TCOON)
            if self._told:
                return BY_CALL
            termios.tcflow(self.slave, termios.TCOOFF)
            stopped = not self._told
            termios.tcflow(self.slave, termios.TCOON)
        return BY_CHARACTER if stopped else RUNNING

    def take_echo(self) -> bytes:
        """What had no place before the output was taken."""
        os.write(self.slave, b"")
        return self.take_output()

    def take_input(self, stopped: str, taken: list[bytes]) -> Input:
        """All of it. `taken` gets every piece at once, in case that this fails."""
        ended = self._count if self.before.canonical else 0
        # Where lines end is forgotten now. All of the buffer is counted and read at once: with the
        # first read the kernel begins to move what is behind it.
        outside = EXTPROC | (0 if self.before.canonical else termios.ICANON)
        settings = unprocessed(self.before)
        set_termios(self.slave, bytes(settings.but(lflag=settings.lflag & outside)))
        content = self._read(self._count, taken)
        raw = _without_ours(self._read_all(taken), self.before, stopped)
        if not self.before.canonical:
            return Input([], content, raw)
        return Input(*split(content, ended, enders(self.before)), raw)

    def _read(self, count: int, taken: list[bytes]) -> bytes:
        content = b""
        while len(content) < count:
            piece = os.read(self.slave, count - len(content))
            if not piece:  # hung up; else what was counted is there
                break
            taken.append(piece)
            content += piece
        return content

    def _read_all(self, taken: list[bytes]) -> bytes:
        content = b""
        while events(self.slave) & select.POLLIN:
            piece = os.read(self.slave, 4096)
            if not piece:  # hung up, which is always ready
                break
            taken.append(piece)
            content += piece
        return content

    # -- putting back

    def put(self, waiting: Input, output: bytes, echo: bytes, stopped: str) -> None:
        """Into a terminal in which nothing waits, and whose output runs. Raises LostError."""
        self._typed = bool(waiting.lines or waiting.rest or waiting.raw)
        self._written, self._stopped = bool(output or echo), stopped
        set_termios(self.slave, bytes(unprocessed(self.before)))
        lost_output = self._fill(self.slave, output)
        self._fill(self.slave, echo)
        lost, arrived = self._put_input(waiting)
        if stopped == BY_CHARACTER:
            arrived = self._stop(Characters.for_(self.before, b"")) and arrived
        set_termios(self.slave, bytes(self.before))
        lost += self._fill(self.master, waiting.raw)
        if stopped == BY_CALL:
            termios.tcflow(self.slave, termios.TCOOFF)
        if lost or lost_output:
            raise LostError(f"{lost} bytes of input and {lost_output} of output had no place")
        if not arrived:
            raise LostError(f"what was typed did not arrive within {_LIMIT_S:.0f} s")

    def _put_input(self, waiting: Input) -> tuple[int, bool]:
        """What was looked at already: how much of it had no place, and has the rest arrived?"""
        if not self.before.canonical:
            lost = self._fill(self.master, waiting.rest)
            return lost, self._await_count(len(waiting.rest))
        characters = Characters.for_(self.before, b"".join(waiting.lines) + waiting.rest)
        set_termios(self.slave, bytes(unprocessed(self.before, characters)))
        ended, end_of_file = enders(self.before), bytes([characters.end_of_file])
        lines = [line if line[-1:] in ended else line + end_of_file for line in waiting.lines]
        lost = self._fill(self.master, b"".join(lines) + waiting.rest)
        arrived = self._await_count(sum(map(len, waiting.lines)))
        if waiting.rest or waiting.lines[-1:] == [b""]:
            arrived = self._stop(characters) and arrived
            self._start(characters)
        return lost, arrived

    def _await_count(self, count: int) -> bool:
        return wait_until(lambda: self._count >= count, _LIMIT_S)

    def _stop(self, characters: Characters) -> bool:
        """All that was written to the master before has been looked at then. False: we do not know."""
        set_termios(self.slave, bytes(unprocessed(self.before, characters)))
        stop = bytes([characters.stop])
        if self.seen and self._writable:
            self._fill(self.master, stop)
            stopped = wait_until(lambda: not self._writable, _LIMIT_S)
        else:
            with self._packets():
                self._fill(self.master, stop)
                stopped = wait_until(lambda: self._told, _LIMIT_S)
        if not characters.start:
            termios.tcflush(self.master, termios.TCOFLUSH)
        return stopped

    def _start(self, characters: Characters) -> None:
        if characters.start:
            self._fill(self.master, bytes([characters.start]))
        termios.tcflow(self.slave, termios.TCOOFF)
        termios.tcflow(self.slave, termios.TCOON)

    def _fill(self, fd: int, data: bytes) -> int:
        """Write without ever waiting for a reader; how many bytes there was no place for.

        What was there has been there, so there is place for it: as the kernel gives it out in
        buffers of which the last one may reach beyond the limit, that one has to be a large one.
        """
        view = memoryview(data)
        sizes: Iterator[int] = iter(())
        until = time.monotonic() + _LIMIT_S
        while view:
            if _is_writable(fd):
                size, sizes = _SMALL, iter((_SMALL, _LARGE, _LARGE))
            else:
                size = next(sizes, _SMALL)
            count = _write(fd, view[:size]) or _write(fd, view[:1])
            view = view[count:]
            if count:
                until = time.monotonic() + _LIMIT_S
            elif time.monotonic() > until:
                break
            else:
                time.sleep(0.0002)  # for the kernel's worker, if it has something to move
        return len(view)

    def tell(self) -> None:
        """In packet mode again, what it had to tell."""
        typed, written = self._typed, self._written
        packets.tell(self.slave, self.told, typed=typed, written=written, stopped=self._stopped)

    # -- what the kernel tells

    @property
    def _count(self) -> int:
        """Bytes that wait on the slave's side: of ended lines, or without canonical mode of all."""
        return number(self.slave, termios.FIONREAD)

    @property
    def _writable(self) -> bool:
        return _is_writable(self.slave)

    @property
    def _told(self) -> bool:
        """In packet mode: has the output been stopped or started? Once."""
        if not events(self.master, select.POLLPRI) & select.POLLPRI:
            return False
        set_number(self.master, termios.TIOCPKT, 0)
        set_number(self.master, termios.TIOCPKT, 1)
        return True

    @contextlib.contextmanager
    def _packets(self) -> Iterator[None]:
        set_number(self.master, termios.TIOCPKT, 1)
        try:
            yield
        finally:
            set_number(self.master, termios.TIOCPKT, 0)


def _is_writable(fd: int) -> bool:
    return bool(events(fd, select.POLLOUT) & select.POLLOUT)


def _write(fd: int, data: memoryview) -> int:
    try:
        return os.write(fd, data)
    except BlockingIOError:
        return 0
