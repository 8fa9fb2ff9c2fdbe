"""Connections of the pod's to listeners of the pod's, that were not accepted yet; and those of clients
of this host that were closed meanwhile, or reset, and are nobody's.

Nobody can look at the end that waits to be accepted. So where its client has sent something, or where
several wait, they are accepted by us, looked at, and then made to wait again in the same order: each
client's socket is disconnected and connected anew, from the same port, and has sent the same. For one
that is nobody's, a socket of ours does that.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from ...log import log
from ...shapes import U32, Names, Range
from ..common.socket import disconnect
from . import flow
from .address import Address, address
from .flow import Unread
from .refused import PORT_RANGE

_SOL = socket.SOL_SOCKET
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: who is closed says so by a reset."""
_LOOPBACK_6 = "::1"
NamesListener = Annotated[int, Range(-1, (1 << 31) - 1), Names("open file", but=(-1,))]


@dataclass(frozen=True)
class Turn:
    """Of one that waits."""

    number: U32
    sent: Unread
    """By its client."""
    listener: NamesListener = -1
    """At which it waits: the open file of one of several that share a port; -1: of the only one."""


@dataclass(frozen=True)
class Gone:
    """A client that was closed before anybody accepted it."""

    number: U32
    """Its turn, among those that wait at the same listener."""
    name: Address
    to: Address
    sent: Unread
    reset: bool
    listener: NamesListener = -1


def has_sent(client: socket.socket) -> bool:
    """Something, or that there will be nothing."""
    known = flow.info(client)
    return bool(known.sent or known.unsent) or known.state in flow.SAID_END


def take_turns(
    waiting: Mapping[socket.socket, int],
    clients: Sequence[socket.socket],
    have_come_to: Callable[[socket.socket], None] = lambda listener: None,
) -> dict[socket.socket, tuple[dict[socket.socket, Turn], list[Gone]]]:
    """Of each listener at which so many wait: what each of these clients has sent, and when it is its turn;
    and all others, who are gone. `have_come_to` it those who connect from then on.

    Raises OSError where that cannot be seen; then all of them wait as before.
    """
    accepted = {listener: _accept(listener, count) for listener, count in waiting.items()}
    by_name = {address(client.getsockname()).key: client for client in clients}
    turns: dict[socket.socket, Turn] = {}
    gone: dict[socket.socket, dict[int, Gone]] = {listener: {} for listener in accepted}
    try:
        for listener, number, server, name in _each(accepted):
            client = by_name.get(name.key)
            if client is None:
                gone[listener][number] = _look_at_gone(number, server, name)
                continue
            if not flow.deliver(client, server) or (sent := flow.look(server)) is None:
                raise OSError(errno.EAGAIN, "what was sent does not come over")
            turns[client] = Turn(number, sent)
    finally:
        failed = None
        for listener, number, server, name in _each(accepted):
            client = by_name.get(name.key)
            try:
                have_come_to(listener)
                if client is None:
                    one = gone[listener].get(number) or _look_at_gone(number, server, name)
                    server.setsockopt(_SOL, socket.SO_LINGER, _RESET)
                    server.close()
                    enter_gone(one)
                else:
                    _wait_again(client, server, turns.get(client))
            except OSError as error:
                failed = error
        if failed:
            raise failed
    found: dict[socket.socket, tuple[dict[socket.socket, Turn], list[Gone]]] = {}
    for listener, ends in accepted.items():
        own = [client for _, name in ends if (client := by_name.get(name.key))]
        found[listener] = {client: turns[client] for client in own}, [*gone[listener].values()]
    return found


def _each(
    accepted: Mapping[socket.socket, list[tuple[socket.socket, Address]]],
) -> Iterator[tuple[socket.socket, int, socket.socket, Address]]:
    for listener, ends in accepted.items():
        for number, (server, name) in enumerate(ends):
            yield listener, number, server, name


def _look_at_gone(number: int, server: socket.socket, name: Address) -> Gone:
    own = address(server.getsockname())
    sent = flow.look(server) or flow.NOTHING
    return Gone(number, name, own, sent, flow.info(server).state == flow.CLOSE)


def enter_gone(gone: Gone) -> None:
    """Have it wait at its listener, and be gone."""
    with socket.socket(socket.AF_INET6 if ":" in gone.name.host else socket.AF_INET) as sock:
        sock.setsockopt(_SOL, socket.SO_REUSEADDR, 1)
        try:
            enter_from(sock, gone.name, gone.to, gone.sent, False)
        except OSError as error:
            log.info("a connection from %s is lost: %s", gone.name.shown, error.strerror)
        if gone.reset:
            sock.setsockopt(_SOL, socket.SO_LINGER, _RESET)


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
        disconnect(client)
        server.close()
        client.getsockopt(_SOL, socket.SO_ERROR)
        reuse = client.getsockopt(_SOL, socket.SO_REUSEADDR)
        client.setsockopt(_SOL, socket.SO_REUSEADDR, 1)
        enter(client, local, peer, sent, ended)
        client.setsockopt(_SOL, socket.SO_REUSEADDR, reuse)


def enter_from(
    client: socket.socket, local: Address, peer: Address, sent: Unread, ended: bool
) -> None:
    """The same from another port, where that one is somebody else's by now."""
    try:
        enter(client, local, peer, sent, ended)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
            raise
        with contextlib.suppress(OSError):
            disconnect(client)
        there = local.elsewhere(client.family)
        _bind(client, there)
        enter(client, replace(there, port=client.getsockname()[1]), peer, sent, ended)


def enter(client: socket.socket, local: Address, peer: Address, sent: Unread, ended: bool) -> None:
    """Have it wait at the listener whose address is `peer`, and have sent this, from `local`."""
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
    level, option = PORT_RANGE
    try:
        before = client.getsockopt(level, option, 4)
    except OSError:
        return errno.EADDRNOTAVAIL
    client.setsockopt(level, option, struct.pack("=HH", local.port, local.port))
    number = client.connect_ex(to)
    client.setsockopt(level, option, before)
    if number in (0, errno.EINPROGRESS) and client.getsockname()[1] != local.port:
        disconnect(client)  # a port that connect(2) gives to nobody here
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


@contextlib.contextmanager
def quiet(sock: socket.socket) -> Iterator[None]:
    """It waits for nothing and tells nobody, for a while: its flags are the program's."""
    flags = fcntl.fcntl(sock, fcntl.F_GETFL)
    fcntl.fcntl(sock, fcntl.F_SETFL, (flags | os.O_NONBLOCK) & ~os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(sock, fcntl.F_SETFL, flags)
