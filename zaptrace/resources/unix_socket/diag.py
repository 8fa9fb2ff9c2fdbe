"""What the kernel knows of unix sockets."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from ...linux.sock_diag import ask, attributes

ESTABLISHED, CLOSE, LISTEN = 1, 7, 10

_REQUEST = struct.Struct("=BBHIIIII")  # unix_diag_req
_MESSAGE = struct.Struct("=BBBBIII")  # unix_diag_msg
_SHOW_ALL = 0x1 | 0x2 | 0x4 | 0x8 | 0x10  # NAME VFS PEER ICONS RQLEN
_NAME, _VFS, _PEER, _ICONS, _RQLEN, _, _SHUTDOWN = range(7)
_ANY = 0xFFFFFFFF


@dataclass(frozen=True)
class UnixSocket:
    ino: int
    type: int
    state: int
    name: bytes
    """As bound: a path without its NUL, or b"\\0..."."""
    peer: int | None
    """None if it has no peer; 0 if the peer was closed, or waits to be accepted."""
    shutdown: int
    """RCV_SHUTDOWN 1, SEND_SHUTDOWN 2."""
    waiting: int
    """Connections not accepted yet, of a listening socket."""
    backlog: int
    """Of a listening socket, what listen(2) was given."""
    file: tuple[int, int] | None
    """(inode, device), as the kernel numbers them within itself, of the file that its name made."""
    clients: tuple[int, ...] = ()
    """`ino` of those who wait to be accepted, in order; 0 for one that is closed."""


def lookup(ino: int) -> UnixSocket | None:
    """The unix socket with this inode number."""
    return next(_ask(ino, dump=False), None)


def everything(of: Iterable[int] = ()) -> list[UnixSocket]:
    """All of them; those `of` these inodes surely, if they are there.

    While others come and go, the kernel may tell of one twice, or not of one that stays where it is.
    """
    known = {one.ino: one for one in _ask(0, dump=True)}
    for ino in of:
        if ino not in known and (missed := lookup(ino)):
            known[ino] = missed
    return list(known.values())


def _ask(ino: int, *, dump: bool) -> Iterator[UnixSocket]:
    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, _ANY, ino, _SHOW_ALL, _ANY, _ANY)
    return map(_parse, ask(request, dump=dump))


def _parse(body: memoryview) -> UnixSocket:
    _, kind, state, _, ino, *_ = _MESSAGE.unpack_from(body)
    found = attributes(body[_MESSAGE.size :])
    name = found.get(_NAME, b"")
    waiting, backlog = struct.unpack("=II", found.get(_RQLEN, bytes(8)))
    clients = found.get(_ICONS, b"")
    return UnixSocket(
        ino=ino,
        type=kind,
        state=state,
        name=name if name.startswith(b"\0") else name.rstrip(b"\0"),
        peer=struct.unpack("=I", found[_PEER])[0] if _PEER in found else None,
        shutdown=found.get(_SHUTDOWN, b"\0")[0],
        waiting=waiting,
        backlog=backlog,
        file=struct.unpack("=II", found[_VFS]) if _VFS in found else None,
        clients=struct.unpack(f"={len(clients) // 4}I", clients),
    )
