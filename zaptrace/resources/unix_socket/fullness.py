"""How full a stream is: the pieces that its bytes are sent in.

What waits to be read counts against the sender's limit (SO_SNDBUF) together with what the kernel needs
to keep it, which is more the smaller the pieces are. So that who could not write cannot, they are such
that all of it comes to what it was. Bytes that are the rest of a large piece may be too few for that.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

from ..common.socket import unread

_LARGEST = 1 << 17
_ROOM = 1 << 22
"""Bytes that a queue may hold while it is filled; as many as this host allows."""
_SO_BUF_LOCK = 72
_KEEPS = 768
"""About what a piece costs beside its bytes: a sk_buff and a skb_shared_info."""


class Fullness:
    """Of one direction of a stream that is being filled."""

    def __init__(self, size: int, unread: int) -> None:
        self._size = size
        self._unread = unread

    def next_piece(self, sock: socket.socket, with_files: bool) -> int:
        """How many bytes are to be sent together. A read ends after a piece that files came with."""
        if with_files:
            return _LARGEST
        beside = self._unread - unread(sock.fileno()) - self._size
        pieces = max(1, -(-beside // _KEEPS))
        return max(1, min(self._size // pieces, _LARGEST))

    def sent(self, size: int) -> None:
        self._size -= size


@contextlib.contextmanager
def roomy(sock: socket.socket) -> Iterator[None]:
    """With the largest queue of what it has sent that this host allows, for a while."""
    before = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _ROOM)
    try:
        yield
    finally:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, before // 2)
        with contextlib.suppress(OSError):  # before Linux 5.14 nobody can tell
            sock.setsockopt(socket.SOL_SOCKET, _SO_BUF_LOCK, 0)
