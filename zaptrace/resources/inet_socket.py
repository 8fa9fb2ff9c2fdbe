"""TCP and UDP sockets over IPv4 and IPv6: listening, bound, unbound, and UDP with a peer.

Addresses, backlog and options. The address is claimed by binding it before anything is made.

Not carried, and refused: a TCP connection, whatever its state, unless it has ended; a socket
filter; other protocols. Not carried: connections that a listener has not accepted yet (their
clients see a reset), datagrams not read yet (UDP may lose them), multicast memberships, IP options.

No C half yet: addresses are the host's, so a port has to be free where the pod goes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import stat
import struct
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ..errors import RestoreError
from ..log import log
from ..view.build import Stage
from .common.file import Description, described, finish, restoring, unsupported
from .common.socket import (
    GENERAL,
    Table,
    borrowed,
    domain,
    has_filter,
    options,
    queued,
    set_options,
)

if TYPE_CHECKING:
    from ..view.build import Build
    from ..view.frozen import FrozenFile, FrozenPod

NAME = "inet_socket"

LISTENING, CONNECTED, ENDED, UNCONNECTED = "listening", "connected", "ended", "unconnected"
_TCP_CLOSE, _TCP_LISTEN = 7, 10
_TCP_STATES = (
    "?", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
    "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV",
)  # fmt: skip
_PROTOCOLS = {
    socket.SOCK_STREAM: (socket.IPPROTO_TCP,),
    socket.SOCK_DGRAM: (socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6),
}

_IP, _IP6, _TCP, _UDP = (
    socket.IPPROTO_IP, socket.IPPROTO_IPV6, socket.IPPROTO_TCP, socket.IPPROTO_UDP
)  # fmt: skip
_OPTIONS: Table = {
    **GENERAL,
    "IP_FREEBIND": (_IP, 15, 4),
    "IP_TRANSPARENT": (_IP, 19, 4),
    "IP_BIND_ADDRESS_NO_PORT": (_IP, 24, 4),
    "IPV6_V6ONLY": (_IP6, 26, 4),
    "IP_TOS": (_IP, 1, 4),
    "IP_TTL": (_IP, 2, 4),
    "IP_OPTIONS": (_IP, 4, 40),
    "IP_RECVOPTS": (_IP, 6, 4),
    "IP_RETOPTS": (_IP, 7, 4),
    "IP_PKTINFO": (_IP, 8, 4),
    "IP_MTU_DISCOVER": (_IP, 10, 4),
    "IP_RECVERR": (_IP, 11, 4),
    "IP_RECVTTL": (_IP, 12, 4),
    "IP_RECVTOS": (_IP, 13, 4),
    "IP_RECVORIGDSTADDR": (_IP, 20, 4),
    "IP_MINTTL": (_IP, 21, 4),
    "IP_CHECKSUM": (_IP, 23, 4),
    "IP_RECVFRAGSIZE": (_IP, 25, 4),
    "IP_RECVERR_RFC4884": (_IP, 26, 4),
    "IP_MULTICAST_IF": (_IP, 32, 4),
    "IP_MULTICAST_TTL": (_IP, 33, 4),
    "IP_MULTICAST_LOOP": (_IP, 34, 4),
    "IP_MULTICAST_ALL": (_IP, 49, 4),
    "IP_UNICAST_IF": (_IP, 50, 4),
    "IP_LOCAL_PORT_RANGE": (_IP, 51, 4),
    "IPV6_2292PKTINFO": (_IP6, 2, 4),
    "IPV6_2292HOPOPTS": (_IP6, 3, 4),
    "IPV6_2292DSTOPTS": (_IP6, 4, 4),
    "IPV6_2292RTHDR": (_IP6, 5, 4),
    "IPV6_2292HOPLIMIT": (_IP6, 8, 4),
    "IPV6_FLOWINFO": (_IP6, 11, 4),
    "IPV6_UNICAST_HOPS": (_IP6, 16, 4),
    "IPV6_MULTICAST_IF": (_IP6, 17, 4),
    "IPV6_MULTICAST_HOPS": (_IP6, 18, 4),
    "IPV6_MULTICAST_LOOP": (_IP6, 19, 4),
    "IPV6_MTU_DISCOVER": (_IP6, 23, 4),
    "IPV6_RECVERR": (_IP6, 25, 4),
    "IPV6_MULTICAST_ALL": (_IP6, 29, 4),
    "IPV6_RECVERR_RFC4884": (_IP6, 31, 4),
    "IPV6_FLOWINFO_SEND": (_IP6, 33, 4),
    "IPV6_RECVPKTINFO": (_IP6, 49, 4),
    "IPV6_RECVHOPLIMIT": (_IP6, 51, 4),
    "IPV6_RECVHOPOPTS": (_IP6, 53, 4),
    "IPV6_RECVRTHDR": (_IP6, 56, 4),
    "IPV6_RECVDSTOPTS": (_IP6, 58, 4),
    "IPV6_RECVPATHMTU": (_IP6, 60, 4),
    "IPV6_DONTFRAG": (_IP6, 62, 4),
    "IPV6_RECVTCLASS": (_IP6, 66, 4),
    "IPV6_TCLASS": (_IP6, 67, 4),
    "IPV6_AUTOFLOWLABEL": (_IP6, 70, 4),
    "IPV6_ADDR_PREFERENCES": (_IP6, 72, 4),
    "IPV6_MINHOPCOUNT": (_IP6, 73, 4),
    "IPV6_RECVORIGDSTADDR": (_IP6, 74, 4),
    "IPV6_TRANSPARENT": (_IP6, 75, 4),
    "IPV6_UNICAST_IF": (_IP6, 76, 4),
    "IPV6_RECVFRAGSIZE": (_IP6, 77, 4),
    "IPV6_FREEBIND": (_IP6, 78, 4),
    "TCP_NODELAY": (_TCP, 1, 4),
    "TCP_MAXSEG": (_TCP, 2, 4),
    "TCP_CORK": (_TCP, 3, 4),
    "TCP_KEEPIDLE": (_TCP, 4, 4),
    "TCP_KEEPINTVL": (_TCP, 5, 4),
    "TCP_KEEPCNT": (_TCP, 6, 4),
    "TCP_SYNCNT": (_TCP, 7, 4),
    "TCP_LINGER2": (_TCP, 8, 4),
    "TCP_DEFER_ACCEPT": (_TCP, 9, 4),
    "TCP_WINDOW_CLAMP": (_TCP, 10, 4),
    "TCP_CONGESTION": (_TCP, 13, 16),
    "TCP_THIN_LINEAR_TIMEOUTS": (_TCP, 16, 4),
    "TCP_USER_TIMEOUT": (_TCP, 18, 4),
    "TCP_FASTOPEN": (_TCP, 23, 4),
    "TCP_NOTSENT_LOWAT": (_TCP, 25, 4),
    "TCP_SAVE_SYN": (_TCP, 27, 4),
    "TCP_FASTOPEN_CONNECT": (_TCP, 30, 4),
    "TCP_FASTOPEN_NO_COOKIE": (_TCP, 34, 4),
    "TCP_INQ": (_TCP, 36, 4),
    "TCP_TX_DELAY": (_TCP, 37, 4),
    "TCP_RTO_MAX_MS": (_TCP, 44, 4),
    "UDP_CORK": (_UDP, 1, 4),
    "UDP_NO_CHECK6_TX": (_UDP, 101, 4),
    "UDP_NO_CHECK6_RX": (_UDP, 102, 4),
    "UDP_SEGMENT": (_UDP, 103, 4),
    "UDP_GRO": (_UDP, 104, 4),
}
_OF_KIND = {socket.SOCK_STREAM: _UDP, socket.SOCK_DGRAM: _TCP}
"""Levels whose option numbers would mean something else for this type."""


@dataclass(frozen=True)
class Address:
    host: str
    port: int
    flow: int
    scope: int
    """Flow and scope are IPv6's."""


@dataclass(frozen=True)
class State(Description):
    family: int
    type: int
    protocol: int
    status: str
    """`listening`, `connected` (UDP), `ended` (a TCP connection that is over) or `unconnected`."""
    local: Address | None
    peer: Address | None
    backlog: int
    options: dict[str, bytes]


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISSOCK(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    return domain(file.local) in (socket.AF_INET, socket.AF_INET6)


# capture


def capture(pod: FrozenPod) -> list[State]:
    return [_capture(pod, file) for file in pod.files(NAME)]


def _capture(pod: FrozenPod, file: FrozenFile) -> State:
    with borrowed(file.local) as sock:
        if sock.proto not in _PROTOCOLS.get(sock.type, ()):
            raise unsupported(
                file,
                f"is an internet socket of type {int(sock.type)}, protocol {sock.proto}",
                needed="TCP or UDP",
            )
        if has_filter(sock):
            raise unsupported(file, "is a socket with a filter", do="run it without the filter")
        status, backlog = UNCONNECTED, 0
        if sock.type == socket.SOCK_STREAM:
            status, backlog = _tcp(file, sock)
        local, peer = _address(sock.getsockname()), None
        if status == UNCONNECTED:
            with contextlib.suppress(OSError):
                peer = _address(sock.getpeername())
                status = CONNECTED
        return State(
            **described(pod, file),
            family=sock.family,
            type=sock.type,
            protocol=sock.proto,
            status=status,
            local=local if local.port else None,
            peer=peer,
            backlog=backlog,
            options=options(sock, _table(sock.type, _OPTIONS)),
        )


def _table(kind: int, table: Table) -> Table:
    return {name: row for name, row in table.items() if row[0] != _OF_KIND[socket.SocketKind(kind)]}


def _tcp(file: FrozenFile, sock: socket.socket) -> tuple[str, int]:
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
    state = info[0]
    if state == _TCP_LISTEN:
        waiting, backlog = struct.unpack_from("=II", info, 24)  # tcpi_unacked, tcpi_sacked
        if waiting:
            log.warning(
                "%s: %d TCP connections not accepted yet are not carried", file.holder, waiting
            )
        return LISTENING, backlog
    if state != _TCP_CLOSE:
        name = _TCP_STATES[state] if state < len(_TCP_STATES) else str(state)
        raise unsupported(
            file,
            "is a TCP connection",
            needed="TCP sockets that listen or are not connected",
            found=f"{_both_ends(sock)}, {name}",
            do="let the program close it, or checkpoint when no client is connected",
        )
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    if not any(events & select.POLLRDHUP for _, events in poll.poll(0)):
        return UNCONNECTED, 0
    if queued(sock.fileno()):
        raise unsupported(
            file,
            "is a TCP connection that has ended, with data that was not read yet",
            do="try again once the program has read it",
        )
    return ENDED, 0


def _both_ends(sock: socket.socket) -> str:
    ends = []
    for ask in (sock.getsockname, sock.getpeername):
        with contextlib.suppress(OSError):
            ends.append(_shown(_address(ask())))
    return " to ".join(ends)


def _address(raw: tuple[str, int] | tuple[str, int, int, int]) -> Address:
    host, port, *rest = raw
    flow, scope = rest or (0, 0)
    return Address(host, port, flow, scope)


def _shown(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


# restore


def restore(states: list[State], build: Build) -> None:
    for state in states:
        if build.rehearsal and state.local is not None:
            # The original has the port, and the clients: with SO_REUSEPORT we would take some.
            state = replace(state, local=replace(state.local, port=0))
        if state.local is not None and state.status != ENDED:
            build.at(Stage.CLAIM, _claim, state, build)
        build.at(Stage.SHARED, _make, state, build)


def _claim(state: State, build: Build) -> None:
    with _open(state) as sock:
        try:
            _bind(state, sock)
        except OSError as error:
            if build.contended and error.errno == errno.EADDRINUSE:
                return  # by our former self, it seems; at the thaw it will show
            assert state.local is not None
            raise RestoreError(
                f"cannot restore a socket bound to {_shown(state.local)}",
                stage=Stage.CLAIM.name,
                resource=NAME,
                needed="the address and port, free on this host",
                found=error.strerror or str(error),
                do=f"end what uses port {state.local.port} (ss -anp shows it)",
            ) from error


def _open(state: State) -> socket.socket:
    with restoring(NAME, Stage.CLAIM, "a socket"):
        sock = socket.socket(state.family, state.type, state.protocol)
        try:
            set_options(sock, state.options, _OPTIONS)
        except OSError:
            sock.close()
            raise
        return sock


def _raw(state: State, address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    if state.family == socket.AF_INET:
        return (address.host, address.port)
    return (address.host, address.port, address.flow, address.scope)


def _bind(state: State, sock: socket.socket) -> None:
    assert state.local is not None
    try:
        sock.bind(_raw(state, state.local))
    except OSError:
        if state.status != CONNECTED:
            raise
        # connect(2) chose the address of a host that the pod has left; it will choose again.
        anywhere = "0.0.0.0" if state.family == socket.AF_INET else "::"
        sock.bind((anywhere, state.local.port))


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "an internet socket"), _open(state) as sock:
        if state.status == ENDED:
            _end(sock)
        else:
            again = sock.dup()
            build.or_when_free(partial(_place, state, again), again.close)
        finish(build, state, sock.detach())


def _place(state: State, sock: socket.socket) -> None:
    """Give it its addresses; `sock` is ours, and closed once that is done."""
    if state.local is not None:
        _bind(state, sock)
    if state.status == LISTENING:
        sock.listen(state.backlog)
    if state.peer is not None:
        sock.connect(_raw(state, state.peer))
    sock.close()


def _end(sock: socket.socket) -> None:
    """Give `sock` a connection that is over: reads say end of file, not ENOTCONN."""
    loopback = "127.0.0.1" if sock.family == socket.AF_INET else "::1"
    with socket.socket(sock.family, socket.SOCK_STREAM) as listener:
        listener.bind((loopback, 0))
        listener.listen(1)
        sock.connect(listener.getsockname())
        other = listener.accept()[0]
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()  # a reset
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # which is thereby read
