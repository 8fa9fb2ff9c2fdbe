"""The supervisor's half of a pod's terminal: the master side of its pty and the scrollback.

The master is read all the time, attached or not, into a bounded ring: a pod that nobody looks at
never blocks on its terminal, it only scrolls away. For those who do look see attach.py.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import termios
import threading
import time

from ..errors import HostError
from .scrollback import Scrollback

TYPE_CHECKING = False  # as typing's, which takes long to load
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..view.scrollback import Scrollback as Carried
    from .workers import Workers

_CHUNK = 32 * 1024
_HUNG_UP_S = 0.25
_PATIENCE_S = 5.0
_INPUT_MAX = 1 << 20


class Terminal:
    """The master of a pod's pty. Belongs to the coordinator thread."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.ring = Scrollback(*get_size(master))
        self.hung_up_at = 0.0
        """When the last read found no open slave; the master is left alone for a moment then."""
        self._input = bytearray()
        os.set_blocking(master, False)
        os.set_inheritable(master, False)

    def is_open(self) -> bool:
        """False for a moment after no slave was open: a hung-up master is always "ready"."""
        return time.monotonic() - self.hung_up_at >= _HUNG_UP_S

    def pump(self, most: int = 16) -> int:
        """Move what the pod wrote into the ring: so many bytes; 0 when there was nothing."""
        moved = 0
        for _ in range(most):
            try:
                data = os.read(self.master, _CHUNK)
            except OSError as e:
                if e.errno == errno.EIO:  # no slave is open now; one may be opened again
                    self.hung_up_at = time.monotonic()
                break
            if not data:
                break
            self.ring.append(data)
            moved += len(data)
        return moved

    def type(self, data: bytes) -> None:
        """Queue input; what nobody reads is kept up to a bound and then dropped, as a tty does."""
        if len(self._input) < _INPUT_MAX:
            self._input += data

    @property
    def wants_to_write(self) -> bool:
        """True while input is queued."""
        return bool(self._input)

    def flush(self) -> None:
        """Give the pod as much of the queued input as its terminal takes."""
        try:
            del self._input[: os.write(self.master, self._input[:4096])]
        except BlockingIOError:
            pass
        except OSError:
            self._input.clear()

    def resize(self, rows: int, cols: int) -> None:
        """Set the window size; the kernel tells the foreground group when it is another."""
        if (rows, cols) != self.ring.size and set_size(self.master, rows, cols):
            self.ring.resized(rows, cols)

    def close(self) -> None:
        """Hang up."""
        if self.master >= 0:
            os.close(self.master)
            self.master = -1


def make_pty(rows: int, cols: int, attributes: list[Any] | None) -> tuple[int, int]:
    """A new pty as (master, slave), sized, and with the given termios."""
    try:
        master, slave = os.openpty()
    except OSError as error:
        raise HostError(
            "cannot make a terminal for the pod",
            needed="a devpts at /dev/pts, and /dev/ptmx",
            found=error.strerror,
            remedy="mount them, or run with stdin and stdout redirected, or with -d",
        ) from error
    set_size(slave, rows, cols)
    if attributes is not None:
        with contextlib.suppress(termios.error, TypeError):
            termios.tcsetattr(slave, termios.TCSANOW, attributes)
    return master, slave


def set_size(fd: int, rows: int, cols: int) -> bool:
    """TIOCSWINSZ; sizes that make no sense are ignored (False)."""
    if 0 < rows < 65536 and 0 < cols < 65536:
        with contextlib.suppress(OSError):
            fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
            return True
    return False


def get_size(fd: int) -> tuple[int, int]:
    """(rows, cols) of a terminal; (24, 80) when it does not say."""
    try:
        rows, cols, _, _ = struct.unpack("HHHH", fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return 24, 80
    return rows or 24, cols or 80


def asked_by(workers: Workers, terminal: Terminal) -> Callable[[], Carried | None]:
    """For a worker at whose word the pod does not run: all that it has written until then.

    None if the coordinator does not come to it: an image without is better than none.
    """

    def ask() -> Carried | None:
        found: list[Carried] = []
        done = threading.Event()

        def answer() -> None:
            try:
                terminal.pump()  # whoever is attached gets it a little late then
                found.append(terminal.ring.carried())
            finally:
                done.set()

        workers.post(answer)
        done.wait(_PATIENCE_S)
        return found[0] if found else None

    return ask
