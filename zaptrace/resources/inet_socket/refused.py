"""Sockets that were told by their own host that nobody is there (ECONNREFUSED), and have not read it yet.

To look at an error is to take it away. So it is known by how it came about: of a UDP socket whose peer
is on this host, and of a connect(2) of TCP to an address of loopback, it can be no other. To have one
again, a port is asked at which nobody answers.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace

from . import flow
from .address import Address, address

_IP_RECVERR, _IPV6_RECVERR, _SO_TIMESTAMPING, _SO_MEMINFO = 11, 25, 37, 55
_OPTIONS_AT, _SEGMENTS_AT = 5, 140
"""In struct tcp_info: what both ends can do, and how many segments came."""
_PORT_THAT_IT_HAS = 52
"""IP_PROTOCOL tells that of a TCP socket."""
PORT_RANGE = (socket.IPPROTO_IP, 51)
"""IP_LOCAL_PORT_RANGE."""


def is_refused(sock: socket.socket) -> bool:
    of_tcp = sock.type == socket.SOCK_STREAM
    if of_tcp and flow.info(sock).state != flow.CLOSE:
        return False
    return flow.has_error(sock) and _was_refused(sock)


def _was_refused(sock: socket.socket) -> bool:
    """Of one that has an error. False: it may be another one."""
    local = address(sock.getsockname())
    if sock.type == socket.SOCK_STREAM:
        raw = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SEGMENTS_AT + 4)
        (segments,) = struct.unpack_from("=I", raw, _SEGMENTS_AT)
        was_connected = raw[_OPTIONS_AT] or segments > 1
        return not was_connected and local.loops_back
    if asks_for_more(sock) or struct.unpack_from("=I", _meminfo(sock))[0]:
        return False
    with contextlib.suppress(OSError):
        peer = address(sock.getpeername())
        return peer.host == local.host or (peer.loops_back and local.loops_back)
    return False


def _meminfo(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36)


def asks_for_more(sock: socket.socket) -> bool:
    """It has a queue of errors, with what they are about."""
    asked = [(socket.IPPROTO_IP, _IP_RECVERR), (socket.SOL_SOCKET, _SO_TIMESTAMPING)]
    if sock.family == socket.AF_INET6:
        asked.append((socket.IPPROTO_IPV6, _IPV6_RECVERR))
    return any(sock.getsockopt(*option) for option in asked)


def refuse_tcp(sock: socket.socket, local: Address) -> None:
    """Of a socket that is not connected, and to be so from this address."""
    with _nobody(sock, local) as nobody:
        blocking = sock.getblocking()
        sock.setblocking(False)
        number = sock.connect_ex(nobody)
        sock.setblocking(blocking)
        _expect_error(sock, number)


def refuse_udp(sock: socket.socket, local: Address) -> None:
    """Of a socket that has this address, or gets it by connect(2); it has another peer afterwards."""
    with _nobody(sock, local) as nobody:
        sock.connect(nobody)
        sock.send(b"", socket.MSG_DONTWAIT)
        _expect_error(sock, 0)


def has_let_go(sock: socket.socket) -> bool:
    """Of a TCP socket that has an address: its port is nobody's."""
    return sock.getsockopt(socket.IPPROTO_IP, _PORT_THAT_IT_HAS) == 0


def let_go(sock: socket.socket, local: Address) -> None:
    """Have it tell this address, and have no port: who listens, and is shut down, lets go of it.

    Raises OSError where somebody has that port, and before Linux 6.3.
    """
    level, option = PORT_RANGE
    before = sock.getsockopt(level, option, 4)
    sock.setsockopt(level, option, struct.pack("=HH", local.port, local.port))
    try:
        sock.bind(replace(local, port=0).raw(sock.family))
    finally:
        sock.setsockopt(level, option, before)
    sock.listen(0)
    sock.shutdown(socket.SHUT_RD)


@contextlib.contextmanager
def _nobody(sock: socket.socket, local: Address) -> Iterator[tuple[object, ...]]:
    """An address at which nobody answers: whose socket does not listen, or hears only itself."""
    with socket.socket(sock.family, sock.type, sock.proto) as other:
        other.bind(replace(local, port=0).raw(sock.family))
        there = other.getsockname()
        if other.type == socket.SOCK_DGRAM:
            other.connect(there)
        yield there


def _expect_error(sock: socket.socket, number: int) -> None:
    if number not in (0, errno.EINPROGRESS):
        raise OSError(number, os.strerror(number))
    if not flow.soon(lambda: flow.has_error(sock)):
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
