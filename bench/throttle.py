"""A network of a given speed, on this host without root: connections that pass through here get no more."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

_PART = 1 << 16
_AHEAD_S = 0.005
"""So much may pass at once before it is slowed down."""


class Throttle:
    """`sent` is how many bytes went towards where connections are made to."""

    def __init__(self, bits_per_s: float) -> None:
        self._bytes_per_s = bits_per_s / 8
        self._listeners: list[socket.socket] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.sent = 0

    def to(self, port: int) -> int:
        """The port here that leads to that one of this host."""
        listener = socket.create_server(("127.0.0.1", 0))
        self._listeners.append(listener)
        self._begin(self._accept, listener, port)
        return int(listener.getsockname()[1])

    def _begin(self, *work: object) -> None:
        thread = threading.Thread(target=work[0], args=work[1:], daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket, port: int) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                here, _ = listener.accept()
                there = socket.create_connection(("127.0.0.1", port))
                self._open += [here, there]
                self._begin(self._pass, here, there, True)
                self._begin(self._pass, there, here, False)

    def _pass(self, source: socket.socket, target: socket.socket, counts: bool) -> None:
        free_at = time.monotonic()
        with contextlib.suppress(OSError):
            while part := source.recv(_PART):
                now = time.monotonic()
                free_at = max(free_at, now) + len(part) / self._bytes_per_s
                if free_at - now > _AHEAD_S:
                    time.sleep(free_at - now)
                target.sendall(part)
                self.sent += len(part) if counts else 0
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for one in [*self._listeners, *self._open]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        for thread in self._threads:
            thread.join(10.0)


@contextlib.contextmanager
def throttle(bits_per_s: float) -> Iterator[Throttle]:
    made = Throttle(bits_per_s)
    try:
        yield made
    finally:
        made.close()
