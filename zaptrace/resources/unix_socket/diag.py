"""What the kernel knows of unix sockets, asked by sock_diag(7); needs no privilege.

Looks at the network namespace that we are in, which is the pod's too.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

ESTABLISHED, CLOSE, LISTEN = 1, 7, 10

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_HEADER = struct.Struct("=IHHII")  # nlmsghdr
_REQUEST = struct.Struct("=BBHIIIII")  # unix_diag_req
_MESSAGE = struct.Struct("=BBBBIII")  # unix_diag_msg
_ATTRIBUTE = struct.Struct("=HH")  # nlattr
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


def lookup(ino: int) -> UnixSocket | None:
    """The unix socket with this inode number."""
    return next(_ask(0, ino), None)


def everything() -> list[UnixSocket]:
    return list(_ask(_NLM_F_DUMP, 0))


def _ask(flags: int, ino: int) -> Iterator[UnixSocket]:
    request = _REQUEST.pack(socket.AF_UNIX, 0, 0, _ANY, ino, _SHOW_ALL, _ANY, _ANY)
    size = _HEADER.size + len(request)
    header = _HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as link:
        link.bind((0, 0))
        link.send(header + request)
        while True:
            answer = memoryview(link.recv(1 << 18))
            while answer:
                length, kind, *_ = _HEADER.unpack_from(answer)
                body = answer[_HEADER.size : length]
                answer = answer[_aligned(length) :]
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    error = -struct.unpack_from("=i", body)[0]
                    if error in (0, 2):  # ENOENT: no such socket
                        return
                    raise OSError(error, os.strerror(error))
                yield _parse(body)
            if not flags & _NLM_F_DUMP:
                return


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _parse(body: memoryview) -> UnixSocket:
    _, kind, state, _, ino, *_ = _MESSAGE.unpack_from(body)
    body = body[_MESSAGE.size :]
    found: dict[int, bytes] = {}
    while len(body) >= _ATTRIBUTE.size:
        length, attribute = _ATTRIBUTE.unpack_from(body)
        found[attribute] = bytes(body[_ATTRIBUTE.size : length])
        body = body[_aligned(length) :]
    name = found.get(_NAME, b"")
    waiting, backlog = struct.unpack("=II", found.get(_RQLEN, bytes(8)))
    return UnixSocket(
        ino=ino,
        type=kind,
        state=state,
        name=name if name.startswith(b"\0") else name.rstrip(b"\0"),
        peer=struct.unpack("=I", found[_PEER])[0] if _PEER in found else None,
        shutdown=found.get(_SHUTDOWN, b"\0")[0],
        waiting=waiting,
        backlog=backlog,
    )
