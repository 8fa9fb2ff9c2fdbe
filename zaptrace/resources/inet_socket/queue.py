"""Datagrams that wait to be read, looked at without taking them, and sent again from where they came.

UDP may lose what it carries: a datagram from an address that is not ours to send from is let go.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from ...log import log
from ...shapes import IpAddress, Length
from ..common.socket import disconnect, queued
from .address import Address, Key, address

_SO_MEMINFO = 55
_PEEK_OFF = (socket.SOL_SOCKET, 42)
_IP_PKTINFO, _IPV6_RECVPKTINFO, _IPV6_PKTINFO, _UDP_CORK = 8, 49, 50, 1
_SHARING = (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
_CONTROL = 4096
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
_LARGEST = 1 << 16
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Datagram:
    data: Annotated[bytes, Length(0, _LARGEST)]
    source: Address
    to: IpAddress | None = None
    """Of its receiver's addresses the one that it was sent to; None: a receiver that has one only."""


def look(sock: socket.socket) -> list[Datagram]:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return list(_datagrams(sock)) if poll.poll(0) else []


def _datagrams(sock: socket.socket) -> Iterator[Datagram]:
    asked = _asked(sock.family)
    before = [(option, sock.getsockopt(*option)) for option in (_PEEK_OFF, asked)]
    several = address(sock.getsockname()).is_any
    try:
        sock.setsockopt(*_PEEK_OFF, 0)
        sock.setsockopt(*asked, several)
        while True:
            data, told, _, source = sock.recvmsg(_LARGEST, _CONTROL, _PEEK)
            if not source:  # shut down
                return
            yield Datagram(data, address(source), _destination(told) if several else None)
    except BlockingIOError:
        return
    finally:
        for option, value in before:
            sock.setsockopt(*option, value)


def _asked(family: int) -> tuple[int, int]:
    """The option by which a datagram's destination is told."""
    if family == socket.AF_INET:
        return socket.IPPROTO_IP, _IP_PKTINFO
    return socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO


def _destination(told: list[tuple[int, int, bytes]]) -> str | None:
    for level, kind, value in told:
        if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
            return socket.inet_ntop(socket.AF_INET, value[8:12])
        if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
            return socket.inet_ntop(socket.AF_INET6, value[:16])
    return None


class Senders:
    """The UDP sockets of a pod, by where they send from."""

    def __init__(self, known: Mapping[Address, socket.socket]) -> None:
        self._known = {own.key: sock for own, sock in known.items()}

    def find(self, source: Address) -> socket.socket | None:
        """One that is bound to no host in particular has whichever the kernel chose for it."""
        host, port, _ = source.key
        anywhere = [("::", port, 0)] if ":" in host else [("0.0.0.0", port, 0), ("::", port, 0)]
        return next(
            (self._known[key] for key in (source.key, *anywhere) if key in self._known), None
        )


def refill(sock: socket.socket, queue: list[Datagram], senders: Senders) -> None:
    """Have the datagrams wait in `sock` again."""
    own = address(sock.getsockname())
    shared = any(sock.getsockopt(socket.SOL_SOCKET, option) for option in _SHARING)
    strangers: dict[Key, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        for n, datagram in enumerate(queue):
            key = datagram.source.key
            sender = senders.find(datagram.source) or strangers.get(key)
            try:
                if sender is None:
                    sender = stack.enter_context(socket.socket(sock.family, sock.type, sock.proto))
                    sender.bind(datagram.source.raw(sock.family))
                    strangers[key] = sender
                before = _held(sock)
                to = _near(datagram, own.port) if own.is_any else own
                with _alone(sock, datagram.source) if shared else contextlib.nullcontext():
                    _send(sender, datagram, to)
            except OSError as error:
                log.info("a datagram from %s is lost: %s", datagram.source.shown, error.strerror)
                continue
            _await(sock, before, n)


def _near(datagram: Datagram, port: int) -> Address:
    """Where it is sent to: the address that it was, if that is one of this host alone."""
    if datagram.to and _is_here(there := Address(datagram.to, port, 0, 0)):
        return there
    return Address("127.0.0.1" if datagram.source.four else "::1", port, 0, 0)


def _is_here(there: Address) -> bool:
    host = ipaddress.ip_address(there.four or there.host)
    if host.is_multicast:
        return False
    family = socket.AF_INET if there.four else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.bind(replace(there, port=0).of(family).raw(family))
        return True
    return False


@contextlib.contextmanager
def _alone(sock: socket.socket, source: Address) -> Iterator[None]:
    """Of those that share its port, the one that hears this source, for a while."""
    with contextlib.suppress(OSError):
        sock.getpeername()
        yield
        return
    sock.connect(source.raw(sock.family))
    try:
        yield
    finally:
        disconnect(sock)


def _send(sender: socket.socket, datagram: Datagram, to: Address) -> None:
    """From its own host, where the sender has several; what is corked is not to take it in."""
    source = datagram.source
    if sender.family == socket.AF_INET:
        host = socket.inet_aton(source.four)
        told = (socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=I4s4x", 0, host))
    else:
        host = socket.inet_pton(socket.AF_INET6, source.of(socket.AF_INET6).host)
        told = (socket.IPPROTO_IPV6, _IPV6_PKTINFO, host + struct.pack("=I", source.scope))
    with _uncorked(sender):
        where = to.of(sender.family).raw(sender.family)
        sender.sendmsg([datagram.data], [told], socket.MSG_DONTWAIT, where)


@contextlib.contextmanager
def _uncorked(sender: socket.socket) -> Iterator[None]:
    corked = 0
    with contextlib.suppress(OSError):  # one of ICMP has none
        corked = sender.getsockopt(socket.IPPROTO_UDP, _UDP_CORK)
    if not corked:
        yield
        return
    sender.setsockopt(socket.IPPROTO_UDP, _UDP_CORK, 0)
    try:
        yield
    finally:
        sender.setsockopt(socket.IPPROTO_UDP, _UDP_CORK, 1)


def _await(sock: socket.socket, before: int, sent: int) -> None:
    """Until it is there: the next one shall not overtake it."""
    deadline = time.monotonic() + _PATIENCE_S
    while _held(sock) == before:
        if time.monotonic() > deadline:
            log.info("datagram %d of a queue did not arrive", sent + 1)
            return
        time.sleep(0)


def _held(sock: socket.socket) -> int:
    """Bytes of memory that what waits takes."""
    (held,) = struct.unpack_from("=I", sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))
    return int(held) or queued(sock.fileno())
