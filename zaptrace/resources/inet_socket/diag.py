"""What the kernel tells of internet sockets, and no call on them does."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from ...linux.sock_diag import ask, attributes
from .address import Address, Key

_BODY = 72  # sizeof (struct inet_diag_msg)
_INODE = 68
_SHUTDOWN = 8
_ALL = 0xFFFFFFFF


def shutdowns() -> dict[int, int]:
    """Of the UDP sockets that are shut down, by inode: RCV_SHUTDOWN 1, SEND_SHUTDOWN 2."""
    found: dict[int, int] = {}
    for body in chain(_dump(socket.IPPROTO_UDP), _dump(socket.IPPROTO_UDPLITE)):
        shut = attributes(body[_BODY:]).get(_SHUTDOWN, b"\0")[0]
        if shut:
            found[struct.unpack_from("=I", body, _INODE)[0]] = shut
    return found


@dataclass(frozen=True)
class TcpSocket:
    state: int
    inode: int
    """0: no process has it, not yet or no more."""


def tcp_sockets() -> dict[tuple[Key, Key], TcpSocket]:
    """Of this host, by their own address and that of the other side."""
    found: dict[tuple[Key, Key], TcpSocket] = {}
    for body in _dump(socket.IPPROTO_TCP):
        family, state = body[0], body[1]
        port, other_port = struct.unpack_from(">HH", body, 4)
        (device,) = struct.unpack_from("=I", body, 40)
        size = 4 if family == socket.AF_INET else 16
        ends = []
        for at, its_port in ((8, port), (24, other_port)):
            host = socket.inet_ntop(family, bytes(body[at : at + size]))
            scope = device if host.startswith("fe80:") else 0
            ends.append(Address(host, its_port, 0, scope).key)
        (inode,) = struct.unpack_from("=I", body, _INODE)
        found[ends[0], ends[1]] = TcpSocket(state, inode)
    return found


def whom_it_asks(inode: int, family: int) -> Address | None:
    """The peer that connect(2) has not reached yet, which getpeername(2) does not tell."""
    for (_, peer), found in tcp_sockets().items():
        if found.inode == inode:
            host, port, scope = peer
            return Address(host, port, 0, scope).of(family)
    return None


def _dump(protocol: int) -> Iterator[memoryview]:
    for family in (socket.AF_INET, socket.AF_INET6):
        request = struct.pack("=BBBxI48x", family, protocol, 0, _ALL)
        with contextlib.suppress(OSError):  # a kernel without it
            yield from ask(request, dump=True)
