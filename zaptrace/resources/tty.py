"""Pseudoterminals: the pod's own (zaptrace holds its master) and those with both ends in the pod.

Of each: termios, window size, packet mode, exclusive mode, lock, what waits to be read on either
side, the session whose controlling terminal it is and the foreground group. A line that was typed
but not ended yet comes back as such, and so does an end of file (^D) that was not read.

What waits can only be seen by taking it: capture drains it under a termios of its own and fills
it back in at once, whatever happens.

Not carried: the number in /dev/pts/N where it is taken; output stopped by ^S; a line discipline
other than N_TTY and a terminal outside the pod (stdio apart), which are refused. /dev/tty comes
back as the terminal itself.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import stat
import struct
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..view.build import Stage
from .common.file import Description, described, finish, restoring, unsupported

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "tty"

MASTER, SLAVE = "master", "slave"
_PTMX, _DEV_TTY, _SLAVE_MAJORS = os.makedev(5, 2), os.makedev(5, 0), range(136, 144)

_TCGETS2, _TCSETS2 = 0x802C542A, 0x402C542B
_TIOCGDEV, _TIOCGPTPEER = 0x80045432, 0x5441
_TIOCGPKT, _TIOCGEXCL, _TIOCGPTLCK = 0x80045438, 0x80045440, 0x80045439
_TIOCSPTLCK, _TIOCGSID = 0x40045431, 0x5429
_TERMIOS2 = struct.Struct("=4IB19s2I")
_KEEP_LINES = ("VEOF", "VEOL", "VEOL2")
_INPUT_S = 0.25
_BITE = 1792
"""Of this much, no byte of a terminal's buffers is left empty (drivers/tty/tty_buffer.c,
TTY_BUFFER_PAGE), so all of a full one fits again."""
_HIGHEST_TRIED = 64


@dataclass(frozen=True)
class End(Description):
    side: str
    """`master` or `slave`."""


@dataclass(frozen=True)
class Input:
    """What waits on the slave's side."""

    lines: list[bytes]
    """Ended ones, in canonical mode; one that does not end in a line's end was ended by ^D."""
    rest: bytes
    """Not ended yet; without canonical mode all of it."""


@dataclass(frozen=True)
class State:
    ends: list[End]
    index: int
    """N of /dev/pts/N; another one after a restore if it is taken."""
    own: bool
    """The pod's own terminal, made by zaptrace run."""
    termios: bytes
    """struct termios2."""
    window: bytes
    """struct winsize."""
    locked: bool
    packet: bool
    exclusive: bool
    hung_up: bool
    """Every slave was closed; reading the master says EIO."""
    waiting: Input
    output: bytes
    """What the master has not read yet; the pod's own is read by zaptrace."""
    session: int
    """The session (as the pod sees it) that it controls, or 0."""
    foreground: int
    """Its foreground group, or 0."""


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISCHR(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    device = file.stat.st_rdev
    return device in (_PTMX, _DEV_TTY) or os.major(device) in _SLAVE_MAJORS


# capture


def capture(pod: FrozenPod) -> list[State]:
    terminals: dict[int, list[FrozenFile]] = {}
    for file in pod.files(NAME):
        try:
            terminals.setdefault(_index(file.local), []).append(file)
        except OSError as error:
            raise unsupported(
                file, "is a terminal that has hung up", do="let the program close it"
            ) from error
    if pod.tty_master is not None:
        terminals.setdefault(_index(pod.tty_master), [])
    return [_capture(pod, index, files) for index, files in terminals.items()]


def _capture(pod: FrozenPod, index: int, files: list[FrozenFile]) -> State:
    own = pod.tty_master is not None and _index(pod.tty_master) == index
    masters = [file for file in files if file.stat.st_rdev == _PTMX]
    slaves = [file for file in files if file.stat.st_rdev != _PTMX]
    if own:
        master = pod.tty_master
    elif masters:
        master = masters[0].local
    else:
        raise unsupported(
            files[0],
            "is a terminal outside the pod",
            needed="a pseudoterminal with both ends in the pod, or the pod's own",
            do="start the pod with `zaptrace run` from that terminal, or without a terminal",
        )
    assert master is not None
    some = (slaves or masters)[0] if files else None
    if some is not None and _int(master, termios.TIOCGETD):
        raise unsupported(some, "is a terminal with another line discipline than N_TTY")
    waiting, output = Input([], b""), b""
    if slaves or own:
        with _slave(master, slaves) as slave:
            waiting = _peek_input(master, slave)
            output = b"" if own else _peek_output(master, slave)
    elif not own:
        output = _peek_closed(master)
    return State(
        ends=[
            End(**described(pod, file), side=MASTER if file in masters else SLAVE) for file in files
        ],
        index=index,
        own=own,
        termios=_get_termios(master),
        window=fcntl.ioctl(master, termios.TIOCGWINSZ, bytes(8)),
        locked=bool(_int(master, _TIOCGPTLCK)),
        packet=bool(_int(master, _TIOCGPKT)),
        exclusive=any(_int(file.local, _TIOCGEXCL) for file in slaves),
        hung_up=not slaves and bool(_events(master) & select.POLLHUP),
        waiting=waiting,
        output=output,
        session=_vid(pod, master, _TIOCGSID),
        foreground=_vid(pod, master, termios.TIOCGPGRP),
    )


def _int(fd: int, request: int) -> int:
    value: int = struct.unpack("=i", fcntl.ioctl(fd, request, bytes(4)))[0]
    return value


def _index(fd: int) -> int:
    return os.minor(_int(fd, _TIOCGDEV)) + 256 * (os.major(_int(fd, _TIOCGDEV)) - 136)


def _vid(pod: FrozenPod, master: int, request: int) -> int:
    """The session or group that `request` gives, as the pod sees it; 0 if none of the pod's."""
    try:
        rid = _int(master, request)
    except OSError:  # ENOTTY: it controls no session
        return 0
    return (pod.vpid(rid) or 0) if rid > 0 else 0


def _events(fd: int) -> int:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return next((events for _, events in poll.poll(0)), 0)


@contextlib.contextmanager
def _slave(master: int, slaves: Sequence[FrozenFile] = ()) -> Iterator[int]:
    """The slave of `master`, opened once more for us; also while it is exclusive or locked."""
    with contextlib.ExitStack() as stack:
        for file in slaves:
            if _int(file.local, _TIOCGEXCL):
                fcntl.ioctl(file.local, termios.TIOCNXCL)
                stack.callback(fcntl.ioctl, file.local, termios.TIOCEXCL)
        if _int(master, _TIOCGPTLCK):
            fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
            stack.callback(fcntl.ioctl, master, _TIOCSPTLCK, struct.pack("i", 1))
        slave = _open_slave(master, os.O_RDWR | os.O_NONBLOCK)
        stack.callback(os.close, slave)
        yield slave


def _open_slave(master: int, flags: int) -> int:
    # O_CLOEXEC is not among the flags, for this ioctl would leave it in what F_GETFL shows.
    slave = fcntl.ioctl(master, _TIOCGPTPEER, flags | os.O_NOCTTY)
    os.set_inheritable(slave, False)
    return slave


def _get_termios(fd: int) -> bytes:
    return fcntl.ioctl(fd, _TCGETS2, bytes(_TERMIOS2.size))


def _set_termios(fd: int, raw: bytes) -> None:
    fcntl.ioctl(fd, _TCSETS2, raw)


def _unprocessed(raw: bytes, *, canonical: bool) -> bytes:
    """A termios under which what is written to the master arrives as it is.

    In canonical mode only the characters that end a line mean something. IXON stays (clearing it
    would start stopped output), so its characters are disabled instead.
    """
    iflag, oflag, cflag, lflag, line, cc, ispeed, ospeed = _TERMIOS2.unpack(raw)
    iflag &= termios.IXON
    lflag = termios.ICANON if canonical else 0
    disabled = bytearray(len(cc))
    for name in _KEEP_LINES if canonical else ():
        at = getattr(termios, name)
        disabled[at] = cc[at]
    if canonical:
        disabled[termios.VEOF] = disabled[termios.VEOF] or 4
    else:
        disabled[termios.VMIN] = 1
    return _TERMIOS2.pack(iflag, oflag, cflag, lflag, line, bytes(disabled), ispeed, ospeed)


@contextlib.contextmanager
def _handling(master: int, slave: int) -> Iterator[bytes]:
    """While we drain and fill: packet mode off, and the termios put back. Gives that termios."""
    before = _get_termios(slave)
    packet = _int(master, _TIOCGPKT)
    if packet:
        fcntl.ioctl(master, termios.TIOCPKT, struct.pack("i", 0))
    try:
        yield before
    finally:
        _set_termios(slave, before)
        if packet:
            fcntl.ioctl(master, termios.TIOCPKT, struct.pack("i", 1))


def _peek_input(master: int, slave: int) -> Input:
    with _handling(master, slave) as before:
        lines: list[bytes] = []
        rest = b""
        try:
            if _TERMIOS2.unpack(before)[3] & termios.ICANON:
                while _events(slave) & select.POLLIN:
                    lines.append(os.read(slave, 4096))
            _set_termios(slave, _unprocessed(before, canonical=False))
            while _events(slave) & select.POLLIN:
                rest += os.read(slave, 4096)
        finally:
            found = Input(lines, rest)
            _refill_input(master, slave, before, found)
        return found


def _refill_input(master: int, slave: int, before: bytes, waiting: Input) -> None:
    if not waiting.lines and not waiting.rest:
        return
    canonical = bool(_TERMIOS2.unpack(before)[3] & termios.ICANON)
    during = _unprocessed(before, canonical=canonical)
    _set_termios(slave, during)
    cc = _TERMIOS2.unpack(during)[5]
    enders = {b"\n"} | {bytes([cc[getattr(termios, n)]]) for n in ("VEOL", "VEOL2")} - {b"\0"}
    for line in waiting.lines:
        os.write(master, line)
        if line[-1:] not in enders:
            os.write(master, bytes([cc[termios.VEOF]]))
    if waiting.lines:
        _await_input(slave, sum(map(len, waiting.lines)))
    if waiting.rest:
        os.write(master, waiting.rest)
        if canonical:
            # Not to be seen until its line ends; poll waits for the kernel to take it in, unless
            # there are lines before it. Then it has had the time below.
            _events(slave)
            time.sleep(0.002 if not waiting.lines else 0.02)
        else:
            _await_input(slave, len(waiting.rest))


def _await_input(fd: int, count: int) -> None:
    """Wait until `count` bytes wait on `fd`: a pty hands them over from a kernel worker."""
    have = array.array("i", [0])
    until = time.monotonic() + _INPUT_S
    while time.monotonic() < until:
        _events(fd)
        fcntl.ioctl(fd, termios.FIONREAD, have)
        if have[0] >= count:
            return
        time.sleep(0.0005)


def _drain_master(master: int) -> bytes:
    output = b""
    while _events(master) & select.POLLIN:
        try:
            output += os.read(master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:  # every slave is closed
                raise
            break
    return output


def _peek_output(master: int, slave: int) -> bytes:
    with _handling(master, slave) as before:
        output = b""
        try:
            output = _drain_master(master)
        finally:
            _refill_output(slave, before, output)
        return output


def _refill_output(slave: int, before: bytes, output: bytes) -> None:
    if output:
        # Nothing else changes: entering or leaving canonical mode would join the lines that wait.
        iflag, oflag, *rest = _TERMIOS2.unpack(before)
        _set_termios(slave, _TERMIOS2.pack(iflag, oflag & ~termios.OPOST, *rest))
        view = memoryview(output)
        while view:
            view = view[_write_when_it_fits(slave, view[:_BITE]) :]


def _write_when_it_fits(slave: int, data: memoryview) -> int:
    """A terminal that was full takes all of it again, once a kernel worker has moved the first part
    over to the master's side.
    """
    until = time.monotonic() + _INPUT_S
    while True:
        try:
            return os.write(slave, data)
        except BlockingIOError:
            if time.monotonic() > until:
                raise
            time.sleep(0.0005)


def _peek_closed(master: int) -> bytes:
    """Output of a terminal whose slaves are all closed, or never were open."""
    if not _events(master) & select.POLLIN:
        return b""
    with _slave(master) as slave:
        return _peek_output(master, slave)


# restore


def restore(states: list[State], build: Build) -> None:
    numbers: dict[int, int] = {}
    for state in states:
        build.at(Stage.SHARED, _make, state, build, numbers)
        if state.session and state.foreground:
            build.at(Stage.OWN, _foreground, state, build, numbers)
        if state.exclusive:
            build.at(Stage.RESUME, _exclude, state, build)


def _make(state: State, build: Build, numbers: dict[int, int]) -> None:
    with restoring(NAME, Stage.SHARED, "a pseudoterminal"):
        if state.own and build.tty_master is not None:
            master = build.tty_master
        else:
            master = _open_master(state.index)
        numbers[state.index] = _index(master)
        if state.session:
            build.terminals[state.session] = f"/dev/pts/{numbers[state.index]}"
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        fcntl.ioctl(master, termios.TIOCSWINSZ, state.window)
        never_opened = (
            not state.hung_up
            and not state.own
            and not state.output
            and not any(end.side == SLAVE for end in state.ends)
        )
        if never_opened:
            _set_termios(master, state.termios)
        else:
            _restore_slave_side(state, build, master)
        if state.packet:
            fcntl.ioctl(master, termios.TIOCPKT, struct.pack("i", 1))
        if state.locked:
            fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 1))
        if state.own:
            build.tty_master = master
        for end in state.ends:
            if end.side == MASTER:
                finish(build, end, os.dup(master))
        if not state.own:
            os.close(master)


def _open_master(index: int) -> int:
    """A new master; of /dev/pts/`index` if that number is free, for programs remember it.

    The kernel gives the lowest number that is free, so we take those below for the moment.
    """
    with contextlib.ExitStack() as stack:
        while True:
            master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            if _index(master) >= index or _index(master) >= _HIGHEST_TRIED:
                return master
            stack.callback(os.close, master)


def _restore_slave_side(state: State, build: Build, master: int) -> None:
    """Everything about the slave's side, and the slaves themselves."""
    with _slave(master) as slave:
        _set_termios(slave, state.termios)
        _refill_output(slave, state.termios, state.output)
        _refill_input(master, slave, state.termios, state.waiting)
        _set_termios(slave, state.termios)
        for end in state.ends:
            if end.side == SLAVE:
                # Not O_ASYNC, which has an owner; all else, as the O_LARGEFILE of an open by name.
                finish(build, end, _open_slave(master, end.flags & ~os.O_ASYNC))


def _foreground(state: State, build: Build, numbers: dict[int, int]) -> None:
    """The session's leader names the foreground group."""
    program = build.process(state.session).program(Stage.OWN)
    path = program.string(f"/dev/pts/{numbers[state.index]}")
    group = program.data(struct.pack("=i", build.rpid(state.foreground)))
    fd = program.call("openat", -100, path, os.O_RDWR | os.O_NOCTTY, 0)
    program.call("ioctl", fd, termios.TIOCSPGRP, group)
    program.call("close", fd)


def _exclude(state: State, build: Build) -> None:
    """Last of all, for nobody can open an exclusive terminal."""
    slave = next((end for end in state.ends if end.side == SLAVE), None)
    if slave is not None:
        fcntl.ioctl(build.file(slave.file_id), termios.TIOCEXCL)
