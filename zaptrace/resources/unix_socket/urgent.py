"""Which byte of a stream was sent out of band (MSG_OOB, since Linux 5.15) and was not read yet.

There is one such at most: the last that was sent so. Its value can be looked at, but where it is
nobody tells. A read ends before it, as it does where the sender changes or behind files; so it is
the beginning of a look that has no other reason to begin there.
"""

from __future__ import annotations

import array
import fcntl
import socket
from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING

from ..common.file import unsupported

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile
    from .message import Message

_SIOCATMARK = 0x8905
_PEEK = socket.MSG_OOB | socket.MSG_PEEK | socket.MSG_DONTWAIT


def value(sock: socket.socket) -> bytes:
    """The byte, of a socket that does not have it in line (SO_OOBINLINE)."""
    return sock.recv(1, _PEEK)


def is_next(sock: socket.socket) -> bool:
    """Or one that was read already would have been."""
    mark = array.array("i", [0])
    fcntl.ioctl(sock, _SIOCATMARK, mark)
    return bool(mark[0])


def marked(
    file: FrozenFile, pieces: list[Message], looks: Collection[int], byte: bytes, *, first: bool
) -> list[Message]:
    """The pieces, with the byte in one of its own. `looks` is where they were begun to be looked at;
    `first`: there is nothing before it."""
    at = 0
    sure: list[int] = []
    likely: list[int] = []
    for index, piece in enumerate(pieces):
        if at in looks and piece.data[:1] == byte and (not at) == first:
            before = pieces[index - 1] if index else None
            plain = before is None or (before.sender == piece.sender and not before.files)
            (sure if plain else likely).append(index)
        at += len(piece.data)
    places = sure or likely
    if len(places) != 1:
        raise unsupported(
            file,
            "has out-of-band data that was not read yet, and nobody can tell where",
            needed="an out-of-band byte that stands out among those of one sender",
            do="try again once the program has read it",
        )
    (index,) = places
    piece = pieces[index]
    alone = len(piece.data) == 1
    urgent = replace(piece, data=byte, urgent=True, files=piece.files if alone else [])
    rest = [] if alone else [replace(piece, data=piece.data[1:])]
    return [*pieces[:index], urgent, *rest, *pieces[index + 1 :]]
