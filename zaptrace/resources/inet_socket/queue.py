"""Datagrams that wait to be read, looked at without taking them, and sent again from where they came.

UDP may lose what it carries: a datagram from an address that is not ours to send from is let go.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from ...log import log
from ...shapes import Length
from ..common.file import unsupported
from ..common.socket import queued
from .address import Address, address

if TYPE_CHECKING:
    from ...view.frozen import FrozenFile

_SO_PEEK_OFF, _SO_MEMINFO = 42, 55
_PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
_LARGEST = 1 << 16
_PATIENCE_S = 2.0


@dataclass(frozen=True)
class Datagram:
    data: Annotated[bytes, Length(0, _LARGEST)]
    source: Address


def look(file: FrozenFile, sock: socket.socket) -> list[Datagram]:
    """Raises UnsupportedResource where an error waits before the datagrams."""
    return list(_datagrams(sock)) if _waits(file, sock) else []


def _waits(file: FrozenFile, sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    events = next((events for _, events in poll.poll(0)), 0)
    if events & select.POLLERR:
        raise unsupported(
            file,
            "has an error that was not read yet",
            needed="none; to look at it would take it away",
            do="try again once the program has read it",
        )
    return bool(events & select.POLLIN)


def _datagrams(sock: socket.socket) -> Iterator[Datagram]:
    before = sock.getsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF)
    sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, 0)
    try:
        while True:
            data, source = sock.recvfrom(_LARGEST, _PEEK)
            if not source:  # shut down
                return
            yield Datagram(data, address(source))
    except BlockingIOError:
        return
    finally:
        sock.setsockopt(socket.SOL_SOCKET, _SO_PEEK_OFF, before)


def refill(
    sock: socket.socket, queue: list[Datagram], senders: dict[Address, socket.socket]
) -> None:
    """Have the datagrams wait in `sock` again. `senders` are those of the pod, by their address."""
    to = address(sock.getsockname())
    if to.host in ("0.0.0.0", "::"):
        loopback = "127.0.0.1" if sock.family == socket.AF_INET else "::1"
        to = Address(loopback, to.port, 0, 0)
    with contextlib.ExitStack() as stack:
        for n, datagram in enumerate(queue):
            sender = senders.get(datagram.source)
            try:
                if sender is None:
                    sender = socket.socket(sock.family, sock.type, sock.proto)
                    senders[datagram.source] = stack.enter_context(sender)
                    sender.bind(datagram.source.raw(sock.family))
                before = _held(sock)
                sender.sendto(datagram.data, socket.MSG_DONTWAIT, to.raw(sock.family))
            except OSError as error:
                log.info("a datagram from %s is lost: %s", datagram.source.shown, error.strerror)
                continue
            _await(sock, before, n)


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
