"""Our half of a process that joins a pod: it has our stdio, or a terminal that we make for it.

With a terminal we hold the other end: what is typed goes there, what it writes comes to ours, and the
window's size follows. When we are gone that terminal has hung up, as that of an ssh that drops.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import termios
from typing import TYPE_CHECKING, Any

from ..errors import PodError
from ..supervisor.control import Outcome
from ..supervisor.terminal import get_size, make_pty, set_size
from ._foreground import Signals, pass_on
from ._own_terminal import OwnTerminal

if TYPE_CHECKING:
    from ..supervisor.control import Client

_LOOK_MS = 500
_BITE = 1 << 16


class Executed:
    """A process that is asked for, followed to its end."""

    def __init__(self, client: Client, signals: Signals, has_tty: bool) -> None:
        self._client = client
        self._signals = signals
        self._master = -1
        self._has_tty = has_tty
        self._terminal = OwnTerminal(0 if has_tty else -1)
        self._vpid: int | None = None
        self._early: list[int] = []
        """Signals that are for it once we know which process it is."""
        self._typed = bytearray()
        """What the process's terminal does not take yet."""

    def run(self, **asked: Any) -> int | Outcome:
        """Its wait status; or how the pod went away."""
        fds, slave = [0, 1, 2], -1
        if self._has_tty:
            rows, cols = get_size(0)
            self._master, slave = make_pty(rows, cols, termios.tcgetattr(0))
            os.set_blocking(self._master, False)
            fds = [slave] * 3
        try:
            self._request = self._client.send_with(fds, "exec", tty=self._has_tty, **asked)
            if slave >= 0:
                os.close(slave)
                slave = -1
            return self._follow()
        finally:
            self._terminal.restore()
            for fd in (slave, self._master):
                if fd >= 0:
                    os.close(fd)

    def _follow(self) -> int | Outcome:
        stream = self._client.stream
        while True:
            poller = select.poll()
            poller.register(self._signals.fd, select.POLLIN)
            if not stream.ended:
                poller.register(stream.fileno(), select.POLLIN)
            if self._terminal.is_raw:
                poller.register(0, 0 if self._typed else select.POLLIN)
                events = select.POLLIN | (select.POLLOUT if self._typed else 0)
                poller.register(self._master, events)
            ready = {fd for fd, _ in poller.poll(_LOOK_MS)}
            for number in self._signals.take():
                self._signal(number)
            if self._master in ready:
                self._show()
                self._type()
            if 0 in ready and self._terminal.is_raw and not self._typed:
                self._keys()
            while (message := self._client.receive_now()) is not None:
                if message.get("id") != self._request:
                    continue
                if "progress" in message:
                    self._begun(int(message["progress"]["vpid"]))
                elif message.get("ok"):
                    return self._ended(message)
                elif "ok" in message:
                    raise PodError.from_dict(message["error"])
            if not self._client.alive() and not self._client.has_message():
                self._show_the_rest()
                return self._client.last_words()

    def _begun(self, vpid: int) -> None:
        self._vpid = vpid
        self._terminal.make_raw()
        early, self._early = self._early, []
        for number in early:
            self._signal(number)

    def _ended(self, message: dict[str, Any]) -> int | Outcome:
        self._show_the_rest()
        if "outcome" in message:
            return Outcome.from_dict(message["outcome"])
        return int(message["status"])

    def _show_the_rest(self) -> None:
        while self._master >= 0 and self._show():
            continue

    def _show(self) -> bool:
        """What it wrote; False when there is no more now."""
        try:
            data = os.read(self._master, _BITE)
        except OSError:  # nothing now, or nobody has it any more
            return False
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(1, view) :]
            except BlockingIOError:
                select.select([], [1], [], _LOOK_MS / 1000)
            except OSError:  # our terminal is gone; its SIGHUP tells the rest
                return False
        return bool(data)

    def _keys(self) -> None:
        try:
            data = os.read(0, _BITE)
        except OSError:
            data = b""
        if not data:
            raise SystemExit(128 + signal.SIGHUP)
        self._typed += data
        self._type()

    def _type(self) -> None:
        with contextlib.suppress(OSError):
            while self._typed:
                del self._typed[: os.write(self._master, self._typed)]

    def _signal(self, number: int) -> None:
        if self._has_tty and number == signal.SIGWINCH:
            set_size(self._master, *get_size(0))
        elif self._has_tty and number == signal.SIGHUP:
            raise SystemExit(128 + signal.SIGHUP)
        elif self._vpid is not None:
            self._terminal.restore()
            pass_on(self._client, number, self._vpid)
            self._terminal.make_raw()
        elif number == signal.SIGINT and number in self._early:
            raise KeyboardInterrupt
        else:
            self._early.append(number)
