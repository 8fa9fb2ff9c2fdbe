"""Sockets that are being made; few of them open in our process at once."""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Iterator

from ...ids import FileId
from ...view.files import Files
from ..common.socket import borrowed


class Held:
    """Sockets by a key: the `ino` of a socket of the pod, or one of `new_key` for any other."""

    def __init__(self) -> None:
        self._files = Files(share=8)
        self._keys = itertools.count(-1, -1)
        self._there: set[int] = set()

    def __contains__(self, key: int) -> bool:
        return key in self._there

    def new_key(self) -> int:
        return next(self._keys)

    def put(self, key: int, sock: socket.socket) -> int:
        """It is ours to close; its key."""
        self._files.provide(FileId(key), sock.detach())
        self._there.add(key)
        return key

    @contextlib.contextmanager
    def use(self, key: int) -> Iterator[socket.socket]:
        """The socket for a while, in which fifty others may be used too."""
        (fd,) = self._files.get([FileId(key)])
        with borrowed(fd) as sock:
            yield sock

    def take(self, key: int) -> int:
        """The descriptor, which is the caller's from now on."""
        self._there.discard(key)
        return self._files.take(FileId(key))

    def close(self) -> None:
        self._there.clear()
        self._files.close()
