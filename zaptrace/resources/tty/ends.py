"""The two ends of a pseudoterminal, and what can be asked of them: ioctl_tty(2)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile

_TCGETS2, _TCSETS2 = 0x802C542A, 0x402C542B
_TIOCGDEV, _TIOCGPTPEER = 0x80045432, 0x5441
TIOCGPKT, TIOCGEXCL, TIOCGPTLCK = 0x80045438, 0x80045440, 0x80045439
EXTPROC = 0o200000
RUNNING, BY_CHARACTER, BY_CALL = "", "character", "call"
"""Is the output stopped? By ^S, or by tcflow(3)."""
TIOCSPTLCK, TIOCGSID = 0x40045431, 0x5429
_TERMIOS2 = struct.Struct("=4IB19s2I")
TERMIOS_SIZE = _TERMIOS2.size
_HIGHEST_TRIED = 64


@dataclass(frozen=True)
class Termios:
    """struct termios2."""

    iflag: int
    oflag: int
    cflag: int
    lflag: int
    line: int
    cc: bytes
    ispeed: int
    ospeed: int

    @staticmethod
    def of(raw: bytes) -> Termios:
        return Termios(*_TERMIOS2.unpack(raw))

    @property
    def canonical(self) -> bool:
        """Does it give out lines? With EXTPROC it does not, whatever else is set."""
        return bool(self.lflag & termios.ICANON) and not self.lflag & EXTPROC

    def but(self, **fields: int | bytes) -> Termios:
        return replace(self, **fields)  # type: ignore[arg-type]

    def __bytes__(self) -> bytes:
        return _TERMIOS2.pack(*vars(self).values())


def get_termios(fd: int) -> bytes:
    return fcntl.ioctl(fd, _TCGETS2, bytes(_TERMIOS2.size))


def set_termios(fd: int, raw: bytes) -> None:
    fcntl.ioctl(fd, _TCSETS2, raw)


def number(fd: int, request: int) -> int:
    value: int = struct.unpack("=i", fcntl.ioctl(fd, request, bytes(4)))[0]
    return value


def set_number(fd: int, request: int, value: int) -> None:
    fcntl.ioctl(fd, request, struct.pack("=i", value))


def index_of(fd: int) -> int:
    """N of /dev/pts/N."""
    device = number(fd, _TIOCGDEV)
    return os.minor(device) + 256 * (os.major(device) - 136)


def events(fd: int, wanted: int = select.POLLIN) -> int:
    """What of it is so now. The kernel looks at all that was written to the other end before it
    says that there is nothing to read."""
    poll = select.poll()
    poll.register(fd, wanted)
    return next((events for _, events in poll.poll(0)), 0)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """False: it did not become true. For what a worker of the kernel does."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.0002)
    return True


@contextlib.contextmanager
def slave_of(master: int, slaves: Sequence[FrozenFile] = ()) -> Iterator[int]:
    """The slave of `master`, opened once more for us; also while it is exclusive or locked."""
    with contextlib.ExitStack() as stack:
        for file in slaves:
            if number(file.local, TIOCGEXCL):
                fcntl.ioctl(file.local, termios.TIOCNXCL)
                stack.callback(fcntl.ioctl, file.local, termios.TIOCEXCL)
        if number(master, TIOCGPTLCK):
            set_number(master, TIOCSPTLCK, 0)
            stack.callback(set_number, master, TIOCSPTLCK, 1)
        slave = open_slave(master, os.O_RDWR | os.O_NONBLOCK)
        stack.callback(os.close, slave)
        yield slave


def open_master(index: int) -> int:
    """A new master; of /dev/pts/`index` if that number is free, for programs remember it.

    The kernel gives the lowest number that is free, so we take those below for the moment.
    """
    with contextlib.ExitStack() as stack:
        while True:
            master = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
            if index_of(master) >= index or index_of(master) >= _HIGHEST_TRIED:
                return master
            stack.callback(os.close, master)


def open_slave(master: int, flags: int) -> int:
    # O_CLOEXEC is not among the flags, for this ioctl would leave it in what F_GETFL shows.
    slave = fcntl.ioctl(master, _TIOCGPTPEER, flags | os.O_NOCTTY)
    os.set_inheritable(slave, False)
    return slave
