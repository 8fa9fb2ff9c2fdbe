"""Ports that nobody has any more, but connections that are over (TIME_WAIT), for a minute.

Who accepts a connection and closes it first leaves one at the port that it listens at. While it listens
that is in nobody's way; but to listen there anew is refused then, unless SO_REUSEADDR was set all the
time. Where the other side was on this host, the wait is for nobody: a SYN from the old address of
that one is answered by who waits with an ACK that a new connection has no use for, so it is reset,
and that ends the wait (RFC 1337).

    ours     bind old address   connect: SYN              RST
    waits                                   ACK of before      gone
"""

from __future__ import annotations

import contextlib
import errno
import socket

from . import flow
from .address import Address, Key
from .diag import TcpSocket, tcp_sockets

_TIME_WAIT = 6
_PATIENCE_S = 1.0
_AT_ONCE = 200
Ends = tuple[Key, Key]


def bind(sock: socket.socket, to: tuple[str, int] | tuple[str, int, int, int]) -> None:
    """bind(2), at a port too that only connections of this host wait at, which are over."""
    try:
        sock.bind(to)
    except OSError as error:
        if (
            error.errno != errno.EADDRINUSE
            or sock.type != socket.SOCK_STREAM
            or not _end_all(to[1])
        ):
            raise
        sock.bind(to)


def _end_all(port: int) -> bool:
    """False where somebody has the port, or nobody has left anything there."""
    at_port = _at(port)
    if not at_port or any(known.state != _TIME_WAIT for known in at_port.values()):
        return False
    waiting = list(at_port)
    for first in range(0, len(waiting), _AT_ONCE):
        _end(waiting[first : first + _AT_ONCE])
    return not _at(port)


def _at(port: int) -> dict[Ends, TcpSocket]:
    return {ends: known for ends, known in tcp_sockets().items() if ends[0][1] == port}


def _end(waiting: list[Ends]) -> None:
    with contextlib.ExitStack() as stack:
        for own, other in waiting:
            family = socket.AF_INET6 if ":" in own[0] else socket.AF_INET
            sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            with contextlib.suppress(OSError):  # another host's, or somebody's again
                sock.bind(_address(other).raw(family))
                sock.connect_ex(_address(own).raw(family))
        flow.soon(lambda: tcp_sockets().keys().isdisjoint(waiting), patience=_PATIENCE_S)


def _address(key: Key) -> Address:
    host, port, scope = key
    return Address(host, port, 0, scope)
