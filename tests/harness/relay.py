"""The relay between two hosts, for tests that cut it."""

from __future__ import annotations

import contextlib
import socket
import threading


class Relay:
    """What lies between two hosts: a TCP relay that can be cut, or go dead without a word."""

    def __init__(self, endpoint: str) -> None:
        self.target = int(endpoint.rpartition(":")[2])
        self.server = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"tcp://127.0.0.1:{self.server.getsockname()[1]}"
        self.sockets: set[socket.socket] = set()
        self.broken = False
        self.dead = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.server.accept()
                if self.broken:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(("127.0.0.1", self.target))
                except OSError:
                    near.close()
                    continue
                self.sockets |= {near, far}
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._relay, args=pair, daemon=True).start()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if not self.dead:
                    target.sendall(data)
        for s in (source, target):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def cut(self, for_good: bool = False) -> None:
        """End every connection, and with `for_good` every later one."""
        self.broken = self.broken or for_good
        for s in list(self.sockets):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut, and stop listening."""
        self.server.close()
        self.cut()
        for s in self.sockets:
            s.close()
