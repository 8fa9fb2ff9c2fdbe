"""TCP and UDP sockets over IPv4 and IPv6: listening, bound, unbound, and UDP with a peer.

Addresses, backlog, options, filters, multicast memberships, shut-down halves of UDP, and datagrams that
wait to be read, with where they came from. The address is claimed by binding it before anything is
made.

Not carried, and refused: a TCP connection, whatever its state, unless it has ended; an error that was
not read yet; filters of eBPF, keys of TCP; other protocols. Not carried: connections that a listener
has not accepted yet (their clients see a reset), what was told beside a datagram (its time of arrival,
its TTL ...), anycast memberships, the size that IPV6_MTU has set, flow labels that were leased.
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
from typing import TYPE_CHECKING, Annotated

from ...errors import RestoreError
from ...log import log
from ...shapes import U8, U32, Among, Data, OneOf, Range, Word
from ...view.build import Stage
from ..common.file import Description, described, finish, restoring, unsupported
from ..common.options import TCP, UDP, Table
from ..common.socket import (
    Filter,
    borrowed,
    domain,
    filter_of,
    options,
    queued,
    set_filter,
    set_options,
)
from ..room import Whole, bad
from .diag import shutdowns
from .multicast import Membership, join, memberships
from .queue import Address, Datagram, address, look, refill
from .unseen import Unseen, forget_all, note_again, set_unseen, unseen

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenPod

NAME = "inet_socket"

LISTENING, CONNECTED, ENDED, UNCONNECTED = "listening", "connected", "ended", "unconnected"
_TCP_CLOSE, _TCP_LISTEN = 7, 10
_IP_BIND_ADDRESS_NO_PORT = 24
_ACCEPT_S = 10.0
_ANYWHERE = ("0.0.0.0", "::")
_HOW = {1: socket.SHUT_RD, 2: socket.SHUT_WR, 3: socket.SHUT_RDWR}
_TCP_STATES = (
    "?", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
    "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "NEW_SYN_RECV",
)  # fmt: skip
_PROTOCOLS = {
    socket.SOCK_STREAM: (socket.IPPROTO_TCP,),
    socket.SOCK_DGRAM: (socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6),
}


@dataclass(frozen=True)
class State(Description):
    family: Annotated[int, OneOf(socket.AF_INET, socket.AF_INET6)]
    type: Annotated[int, OneOf(*_PROTOCOLS)]
    protocol: U8
    status: Annotated[str, OneOf(LISTENING, CONNECTED, ENDED, UNCONNECTED)]
    """`listening`, `connected` (UDP), `ended` (a TCP connection that is over) or `unconnected`."""
    local: Address | None
    peer: Address | None
    backlog: U32
    shutdown: Annotated[int, Range(0, 3)]
    options: Annotated[dict[Word, Data], Among(*TCP, *UDP)]
    unseen: list[Unseen]
    filter: Filter
    memberships: list[Membership]
    queue: list[Datagram]


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISSOCK(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    return domain(file.local) in (socket.AF_INET, socket.AF_INET6)


# capture


def verify(states: list[State], whole: Whole) -> None:
    for state in states:
        if state.protocol not in _PROTOCOLS[socket.SocketKind(state.type)]:
            raise bad(f"a socket of type {state.type} has protocol {state.protocol}")
        told = [state.local, state.peer, *(datagram.source for datagram in state.queue)]
        for one in filter(None, told):
            if (":" in one.host) != (state.family == socket.AF_INET6):
                raise bad(f"a socket has an address of another family, {one.shown}")
        size = 4 if state.family == socket.AF_INET else 16
        groups = [a for member in state.memberships for a in (member.group, *member.sources)]
        if any(len(group) != size for group in groups):
            raise bad("a socket is in a group of another family")
        if state.type == socket.SOCK_STREAM and (state.peer or state.queue or groups):
            raise bad("a TCP socket has a peer, a queue or a group")


def capture(pod: FrozenPod) -> list[State]:
    files = pod.files(NAME)
    shut = shutdowns() if files else {}
    return [_capture(pod, file, shut) for file in files]


def _capture(pod: FrozenPod, file: FrozenFile, shut: dict[int, int]) -> State:
    with borrowed(file.local) as sock:
        if sock.proto not in _PROTOCOLS.get(sock.type, ()):
            raise unsupported(
                file,
                f"is an internet socket of type {int(sock.type)}, protocol {sock.proto}",
                needed="TCP or UDP",
            )
        status, backlog = UNCONNECTED, 0
        if sock.type == socket.SOCK_STREAM:
            status, backlog = _tcp(file, sock)
        local, peer = address(sock.getsockname()), None
        if status == UNCONNECTED:
            with contextlib.suppress(OSError):
                peer = address(sock.getpeername())
                status = CONNECTED
        return State(
            **described(pod, file),
            family=sock.family,
            type=sock.type,
            protocol=sock.proto,
            status=status,
            local=local if local.port or local.host not in _ANYWHERE else None,
            peer=peer,
            backlog=backlog,
            options=options(sock, _table(sock.type)),
            shutdown=shut.get(file.stat.st_ino, 0) if sock.type == socket.SOCK_DGRAM else 0,
            unseen=unseen(file),
            filter=filter_of(file, sock),
            memberships=memberships(sock) if sock.type == socket.SOCK_DGRAM else [],
            queue=look(file, sock) if sock.type == socket.SOCK_DGRAM else [],
        )


def _table(kind: int) -> Table:
    return TCP if kind == socket.SOCK_STREAM else UDP


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
    events = next((events for _, events in poll.poll(0)), 0)
    if events & select.POLLERR:
        raise unsupported(
            file,
            "is a TCP connection that has failed, which the program has not read yet",
            do="try again once the program has read it",
        )
    if not events & select.POLLRDHUP:
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
            ends.append(address(ask()).shown)
    return " to ".join(ends)


# restore


def restore(states: list[State], build: Build) -> None:
    if states:
        build.at(Stage.SHARED, forget_all, build)
    for state in states:
        if build.rehearsal:
            # The original has the port, and the clients: with SO_REUSEPORT we would take some.
            local = state.local and replace(state.local, port=0)
            state = replace(state, local=local, queue=[])
        if state.local is not None and state.status != ENDED:
            build.at(Stage.CLAIM, _claim, state, build)
        build.at(Stage.SHARED, _make, state, build)
    if not build.rehearsal:
        build.at(Stage.SHARED, _refill, states, build)


def _claim(state: State, build: Build) -> None:
    with _open(state) as sock:
        try:
            _bind(state, sock)
        except OSError as error:
            if build.contended and error.errno == errno.EADDRINUSE:
                return  # by our former self, it seems; at the thaw it will show
            assert state.local is not None
            raise RestoreError(
                f"cannot restore a socket bound to {state.local.shown}",
                stage=Stage.CLAIM.name,
                resource=NAME,
                needed="the address and port, free on this host",
                found=error.strerror or str(error),
                do=f"end what uses port {state.local.port} (ss -anp shows it)",
            ) from error


def _open(state: State) -> socket.socket:
    with restoring(NAME, Stage.CLAIM, "a socket"):
        sock = socket.socket(state.family, state.type, state.protocol)
        table = _table(state.type)
        try:
            later = ("SO_LOCK_FILTER",) if state.queue else ()
            if not state.queue:  # which is from before the filter, maybe, and would have to pass it
                set_filter(sock, state.filter)
            now = {k: v for k, v in state.options.items() if k in table and k not in later}
            set_options(sock, now, table)
            set_unseen(sock, state.unseen, bound=False)
            for membership in state.memberships:
                join(sock, membership)
        except OSError:
            sock.close()
            raise
        return sock


def _bind(state: State, sock: socket.socket) -> None:
    assert state.local is not None
    try:
        if state.local.port:
            sock.bind(state.local.raw(state.family))
        else:
            _bind_without_port(state, sock, state.local)
    except OSError:
        if state.status != CONNECTED:
            raise
        # connect(2) chose the address of a host that the pod has left; it will choose again.
        anywhere = "0.0.0.0" if state.family == socket.AF_INET else "::"
        sock.bind((anywhere, state.local.port))


def _bind_without_port(state: State, sock: socket.socket, local: Address) -> None:
    """As IP_BIND_ADDRESS_NO_PORT makes it, or a connection that was given up leaves it."""
    before = sock.getsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT)
    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
    sock.bind(local.raw(state.family))
    sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, before)


def _make(state: State, build: Build) -> None:
    with restoring(NAME, Stage.SHARED, "an internet socket"), _open(state) as sock:
        if state.status == ENDED:
            _end(sock)
        else:
            again = sock.dup()
            build.or_when_free(partial(_place, state, again), again.close)
        note_again(build, sock.fileno(), state.unseen)
        finish(build, state, sock.detach())


def _place(state: State, sock: socket.socket) -> None:
    """Give it its addresses; `sock` is ours, and closed once that is done."""
    if state.local is not None:
        _bind(state, sock)
    if state.status == LISTENING:
        sock.listen(state.backlog)
    if state.peer is not None:
        sock.connect(state.peer.raw(state.family))
    set_unseen(sock, state.unseen, bound=True)
    if state.shutdown:
        with contextlib.suppress(OSError):  # it says so, and does it
            sock.shutdown(_HOW[state.shutdown])
    sock.close()


def _refill(states: list[State], build: Build) -> None:
    """What waited to be read, once all have their addresses."""
    waiting = [state for state in states if state.queue]
    if not waiting:
        return
    udp = [state for state in states if state.type == socket.SOCK_DGRAM and state.local]
    copies = {s.file_id: socket.socket(fileno=os.dup(build.file(s.file_id))) for s in udp}
    close = partial(_close, copies)
    if any(not copy.getsockname()[1] for copy in copies.values()):
        build.at_thaw(partial(_refill_now, udp, copies), close)  # behind those who get theirs then
    else:
        _refill_now(udp, copies)


def _refill_now(states: list[State], copies: dict[int, socket.socket]) -> None:
    senders = {s.local: copies[s.file_id] for s in states if s.local is not None}
    for state in states:
        sock = copies[state.file_id]
        if state.queue:
            refill(sock, state.queue, dict(senders))
            set_filter(sock, state.filter)
            if "SO_LOCK_FILTER" in state.options:
                sock.setsockopt(*UDP["SO_LOCK_FILTER"][:2], 1)
    _close(copies)


def _close(copies: dict[int, socket.socket]) -> None:
    for copy in copies.values():
        copy.close()


def _end(sock: socket.socket) -> None:
    """Give `sock` a connection that is over: reads say end of file, not ENOTCONN."""
    loopback = "127.0.0.1" if sock.family == socket.AF_INET else "::1"
    with socket.socket(sock.family, socket.SOCK_STREAM) as listener:
        listener.bind((loopback, 0))
        listener.listen(1)
        listener.settimeout(_ACCEPT_S)
        sock.connect(listener.getsockname())  # the kernel gives up by itself
        other = listener.accept()[0]
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        other.close()  # a reset
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)  # which is thereby read
