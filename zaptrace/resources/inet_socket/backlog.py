"""Connections of the pod's to listeners of the pod's, that were not accepted yet.

Nobody can look at the end that waits to be accepted. So where its client has sent something, or where
several wait, they are accepted by us, looked at, and then made to wait again in the same order: each
client's socket is disconnected and connected anew, from the same port, and has sent the same.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ...shapes import U32
from ..common.libc import checked, libc
from . import flow
from .address import Address, address
from .flow import Unread

_SOL = socket.SOL_SOCKET
_LOOPBACK_6 = "::1"
_PORT_RANGE = (socket.IPPROTO_IP, 51)
"""IP_LOCAL_PORT_RANGE."""


@dataclass(frozen=True)
class Turn:
    """Of one that waits."""

    number: U32
    sent: Unread
    """By its client."""


def has_sent(client: socket.socket) -> bool:
    """Something, or that there will be nothing."""
    known = flow.info(client)
    return bool(known.sent or known.unsent) or known.state in flow.SAID_END


def take_turns(listener: socket.socket, clients: Sequence[socket.socket]) -> list[Turn]:
    """What each of these clients has sent, and when it is its turn; all that wait are its clients.

    Raises OSError where that cannot be seen; then all of them wait as before.
    """
    accepted = _accept(listener, len(clients))
    by_name = {address(client.getsockname()).key: client for client in clients}
    turns: dict[socket.socket, Turn] = {}
    try:
        for number, (server, name) in enumerate(accepted):
            client = by_name[name.key]
            if not flow.deliver(client, server) or (sent := flow.look(server)) is None:
                raise OSError(errno.EAGAIN, "what was sent does not come over")
            turns[client] = Turn(number, sent)
    finally:
        failed = None
        for server, name in accepted:
            client = by_name[name.key]
            try:
                _wait_again(client, server, turns.get(client))
            except OSError as error:
                failed = error
        if failed:
            raise failed
    return [turns[client] for client in clients]


def _accept(listener: socket.socket, count: int) -> list[tuple[socket.socket, Address]]:
    with quiet(listener):
        accepted = []
        for _ in range(count):
            fd, name = listener._accept()  # type: ignore[attr-defined]  # as `listener` is borrowed
            sock = socket.socket(fileno=fd)
            sock.setblocking(False)
            accepted.append((sock, address(name)))
        return accepted


def _wait_again(client: socket.socket, server: socket.socket, turn: Turn | None) -> None:
    local, peer = address(client.getsockname()), address(client.getpeername())
    ended = flow.info(client).state in flow.SAID_END
    sent = turn.sent if turn else flow.look(server) or flow.NOTHING
    with quiet(client):
        _disconnect(client)
        server.close()
        client.getsockopt(_SOL, socket.SO_ERROR)
        reuse = client.getsockopt(_SOL, socket.SO_REUSEADDR)
        client.setsockopt(_SOL, socket.SO_REUSEADDR, 1)
        enter(client, local, peer, sent, ended)
        client.setsockopt(_SOL, socket.SO_REUSEADDR, reuse)


def enter(client: socket.socket, local: Address, peer: Address, sent: Unread, ended: bool) -> None:
    """Have it wait at the listener whose address is `peer`, and have sent this."""
    client.setblocking(False)
    to = peer.raw(client.family)
    number = _connect_from(client, local, to) if local.host == peer.host else errno.EADDRNOTAVAIL
    if number == errno.EADDRNOTAVAIL:
        _bind(client, local)
        number = client.connect_ex(to)
    if number not in (0, errno.EINPROGRESS):
        raise OSError(number, os.strerror(number))
    if not flow.soon(lambda: flow.info(client).state != flow.SYN_SENT):
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    if address(client.getsockname()).key != local.key:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), local.shown)
    with contextlib.suppress(OSError):  # it is told that it has come about
        client.connect(to)
    flow.put(client, None, sent)
    if ended:
        client.shutdown(socket.SHUT_WR)


def _connect_from(client: socket.socket, local: Address, to: tuple[object, ...]) -> int:
    """Connect from this port, which it may share with others that connect(2) has given it (Linux 6.3).

    Returns an errno, or 0; EADDRNOTAVAIL where the port has to be bound for that.
    """
    level, option = _PORT_RANGE
    try:
        before = client.getsockopt(level, option, 4)
    except OSError:
        return errno.EADDRNOTAVAIL
    client.setsockopt(level, option, struct.pack("=HH", local.port, local.port))
    number = client.connect_ex(to)
    client.setsockopt(level, option, before)
    if number in (0, errno.EINPROGRESS) and client.getsockname()[1] != local.port:
        _disconnect(client)  # a port that connect(2) gives to nobody here
        return errno.EADDRNOTAVAIL
    return number


def _bind(sock: socket.socket, local: Address) -> None:
    any_does = local.host == _LOOPBACK_6 and not sock.getsockopt(
        socket.IPPROTO_IPV6, socket.IPV6_V6ONLY
    )
    try:
        sock.bind((replace(local, host="::") if any_does else local).raw(sock.family))
    except OSError as error:
        if error.errno != errno.EINVAL:  # it was bound by bind(2), and is so still
            raise


def _disconnect(sock: socket.socket) -> None:
    unspecified = struct.pack("=H14x", socket.AF_UNSPEC)
    checked(libc.connect(sock.fileno(), unspecified, ctypes.c_uint(len(unspecified))))


@contextlib.contextmanager
def quiet(sock: socket.socket) -> Iterator[None]:
    """It waits for nothing and tells nobody, for a while: its flags are the program's."""
    flags = fcntl.fcntl(sock, fcntl.F_GETFL)
    fcntl.fcntl(sock, fcntl.F_SETFL, (flags | os.O_NONBLOCK) & ~os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(sock, fcntl.F_SETFL, flags)
