"""TCP and UDP sockets over IPv4 and IPv6: listening, bound, unbound, UDP with a peer, TCP connections;
UDP-Lite as UDP, and MPTCP sockets that are no connection: whom they accept speaks TCP.

Addresses, backlog, options, filters, multicast memberships, shut-down halves of UDP, and datagrams that
wait to be read, with where they came from. The address is claimed by binding it before anything is
made. A TCP connection has both its ends in the pod (stream.py, join.py), or the one that is: then the
other was closed. Where its addresses are not to be had here it has other ones, and tells the same
(virtual.py). What waits to be accepted waits again (backlog.py), at its own one of several listeners that
share a port (group.py). Who listens where somebody else does by now gets another port, too, where nobody
outside can know the old one (place.py).

A connection that nobody has answered yet is asked for again (connecting.py).

Not carried, and refused: a TCP connection to outside the pod, unless it is to be reset, one that is
being made to another host, one that the kernel encrypts (kTLS), and one of MPTCP; an error that was
not read yet, unless it tells that nobody was there (refused.py) or that the other side has reset the
connection (failed.py); a datagram that is begun (UDP_CORK); filters of eBPF, keys of TCP; other
protocols. Not carried: connections that a listener has not accepted yet, from outside (their clients
see a reset); what TCP has measured and counted (TCP_INFO), what was
told beside a datagram (its time of arrival, its TTL ...), anycast memberships, the size that IPV6_MTU
has set, flow labels that were leased.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ...errors import RestoreError
from ...linux import sock_diag
from ...linux.native import lib
from ...log import log
from ...view.build import Stage
from ..common.file import described, finish, restoring, unsupported
from ..common.multicast import join as join_group
from ..common.multicast import memberships
from ..common.options import TCP, UDP, UDP_LITE, Table
from ..common.socket import (
    Usual,
    borrowed,
    domain,
    filter_of,
    options,
    set_filter,
    set_options,
)
from ..room import Whole, bad
from . import flow, join
from .address import Address, address
from .connecting import ask_again, whom
from .diag import shutdowns
from .failed import how_it_failed
from .flow import accept_queue
from .passing import refuse_passing
from .place import MOVABLE, bind_it, let_go_of, place, was_given_up
from .queue import Senders, look, refill
from .refused import has_let_go, is_refused
from .state import (
    BROKEN,
    CONNECTED,
    CONNECTING,
    ENDED,
    ESTABLISHED,
    LISTENING,
    RESET,
    UNCONNECTED,
    WAITING,
    Socket,
)
from .state import NAME as _NAME
from .stream import Streams, reads_no_more
from .unaccepted import refuse_unaccepted as _refuse_unaccepted
from .unseen import forget_all, note_again, set_unseen, unseen
from .virtual import is_note as is_note
from .virtual import note_chosen, told, was_chosen

if TYPE_CHECKING:
    from ...view.build import Build
    from ...view.frozen import FrozenFile, FrozenPod

NAME = _NAME

_IP_BIND_ADDRESS_NO_PORT = 24
_MAXSEG_OF_A_REFUSAL = (536 - 12).to_bytes(4, "little")
"""What the kernel has thought of when nobody was there; to set it would be to keep it small."""
_ANYWHERE = ("0.0.0.0", "::")
_HOW = {1: socket.SHUT_RD, 2: socket.SHUT_WR, 3: socket.SHUT_RDWR}
_MPTCP = 262  # socket.IPPROTO_MPTCP, and one that Python 3.11 does not know everywhere
_PROTOCOLS = {
    socket.SOCK_STREAM: (socket.IPPROTO_TCP, _MPTCP),
    socket.SOCK_DGRAM: (
        socket.IPPROTO_UDP, socket.IPPROTO_UDPLITE, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class State(Socket):
    """One socket; see state.py."""


def claims(file: FrozenFile) -> bool:
    if not stat.S_ISSOCK(file.stat.st_mode) or file.flags & os.O_PATH:
        return False
    if domain(file.local) not in (socket.AF_INET, socket.AF_INET6):
        return False
    with borrowed(file.local) as sock:
        refuse_passing(file, sock)
    return True


# capture


def verify(states: list[State], whole: Whole) -> None:
    listening = {-1, *(state.file_id for state in states if state.status == LISTENING)}
    for state in states:
        if any(of.listener not in listening for of in (state.turn, *state.gone) if of):
            raise bad("a TCP connection waits to be accepted by one that does not listen")
        if state.protocol not in _PROTOCOLS[socket.SocketKind(state.type)]:
            raise bad(f"a socket of type {state.type} has protocol {state.protocol}")
        if unknown := state.options.keys() - _table(state.type, state.protocol):
            raise bad(f"a socket has options that it cannot have: {', '.join(sorted(unknown))}")
        told = [a.host for a in (state.local, state.peer, *(d.source for d in state.queue)) if a]
        for host in [*told, *(d.to for d in state.queue if d.to)]:
            if (":" in host) != (state.family == socket.AF_INET6):
                raise bad(f"a socket has an address of another family, {host}")
        size = 4 if state.family == socket.AF_INET else 16
        groups = [a for member in state.memberships for a in (member.group, *member.sources)]
        if any(len(group) != size for group in groups):
            raise bad("a socket is in a group of another family")
        if state.type == socket.SOCK_STREAM:
            _verify_stream(state, bool(state.queue or groups))
        elif state.stream or state.turn or state.status not in (CONNECTED, UNCONNECTED):
            raise bad("a UDP socket is a TCP connection")


def _verify_stream(state: State, groups: bool) -> None:
    if (state.refused or state.let_go) and (state.status != UNCONNECTED or not state.local):
        raise bad(f"a TCP socket is {state.status}, and was refused, or let go of its port")
    if (state.status == CONNECTING) != bool(state.peer and not state.stream):
        raise bad("a TCP socket is being connected to nobody, or has a peer without a connection")
    if groups:
        raise bad("a TCP socket has a queue or a group")
    connected = state.status in (ESTABLISHED, WAITING, RESET, BROKEN)
    if state.status == CONNECTED or (state.status != ENDED and (state.stream is None) == connected):
        raise bad(f"a TCP socket is {state.status}, and tells nothing of that")
    alone = (LISTENING, UNCONNECTED, CONNECTING)
    if state.stream and (state.protocol == _MPTCP or state.status in alone):
        raise bad(f"a TCP socket is {state.status}, and a connection")
    if (state.turn is not None) != (state.status == WAITING):
        raise bad("a TCP connection has a turn without waiting for it, or waits without one")
    if state.gone and state.status != LISTENING:
        raise bad(f"a TCP socket is {state.status}, and connections wait at it")
    if state.turn and not (state.local and state.peer):
        raise bad("a TCP connection waits to be accepted, and has no addresses")
    told = [of.unread for of in (state.stream,) if of]
    told += [of.sent for of in (state.turn, *state.gone) if of]
    if any(unread.urgent >= len(unread.data) for unread in told if unread.urgent >= 0):
        raise bad("a TCP connection has an urgent byte beyond what waits to be read")


def capture(pod: FrozenPod) -> list[State]:
    files = pod.files(NAME)
    if not files:
        return []
    shut = shutdowns()
    streams = Streams(files, close_outside=pod.outside == "close")
    usual: Usual = {}
    states = [_capture(pod, file, shut, streams, usual) for file in files]
    pod.at_end.append(partial(join.reset_at_end, streams.inside))
    return states


def refuse_unaccepted(pod: FrozenPod) -> None:
    _refuse_unaccepted(pod.files(NAME))


def _capture(
    pod: FrozenPod, file: FrozenFile, shut: dict[int, int], streams: Streams, usual: Usual
) -> State:
    with borrowed(file.local) as sock:
        if sock.proto not in _PROTOCOLS.get(sock.type, ()):
            raise unsupported(
                file,
                f"is an internet socket of type {int(sock.type)}, protocol {sock.proto}",
                needed="TCP, UDP or ICMP",
            )
        status, backlog, stream, turn = UNCONNECTED, 0, None, None
        local, peer = address(sock.getsockname()), None
        refused = is_refused(sock)
        if sock.type == socket.SOCK_STREAM and not refused:
            status, backlog = _tcp(file, sock, streams)
            if status == CONNECTING:
                peer = whom(file, sock)
            elif status in (ESTABLISHED, ENDED, RESET, BROKEN):
                stream, turn = streams.stream(file, sock), streams.turn(sock)
                status = WAITING if turn else RESET if streams.is_outside(sock) else status
        if status in (UNCONNECTED, ESTABLISHED, WAITING, RESET):
            with contextlib.suppress(OSError):
                peer = address(sock.getpeername())
                status = CONNECTED if status == UNCONNECTED else status
        if stream or status in MOVABLE:
            local, peer = told(file, local, peer)
        return State(
            **described(pod, file),
            family=sock.family,
            type=sock.type,
            protocol=sock.proto,
            status=status,
            local=local if local.port or local.host not in _ANYWHERE else None,
            peer=peer,
            backlog=backlog,
            options=_options(sock, status, usual),
            shutdown=_shutdown(file, sock, shut),
            unseen=unseen(file),
            filter=filter_of(file, sock),
            memberships=memberships(sock) if sock.type == socket.SOCK_DGRAM else [],
            queue=look(sock) if sock.type == socket.SOCK_DGRAM and not refused else [],
            stream=stream,
            turn=turn,
            refused=refused,
            gone=[replace(one, to=told(file, one.to, None)[0]) for one in streams.gone(file)],
            chosen=was_chosen(file),
            let_go=(
                status == UNCONNECTED
                and sock.type == socket.SOCK_STREAM
                and not refused
                and local.port > 0
                and has_let_go(sock)
            ),
        )


def _table(kind: int, protocol: int) -> Table:
    if kind == socket.SOCK_STREAM:
        return TCP
    return UDP_LITE if protocol == socket.IPPROTO_UDPLITE else UDP


def _options(sock: socket.socket, status: str, usual: Usual) -> dict[str, bytes]:
    found = options(sock, _table(sock.type, sock.proto), usual)
    of_tcp = status in (ESTABLISHED, WAITING, RESET, BROKEN, ENDED)
    if of_tcp:
        return join.of_connection(found)
    if status == UNCONNECTED and found.get("TCP_MAXSEG") == _MAXSEG_OF_A_REFUSAL:
        del found["TCP_MAXSEG"]
    return found


def _shutdown(file: FrozenFile, sock: socket.socket, shut: dict[int, int]) -> int:
    if sock.type == socket.SOCK_DGRAM:
        if not sock_diag.tells_of(sock.family, socket.IPPROTO_UDP):
            raise unsupported(
                file,
                "is a UDP socket, of which this kernel does not tell",
                needed="CONFIG_INET_UDP_DIAG, or the module udp_diag",
                do="as root: modprobe udp_diag",
            )
        return shut.get(file.stat.st_ino, 0)
    state = flow.info(sock).state
    if state not in (flow.ESTABLISHED, flow.FIN_WAIT1, flow.FIN_WAIT2):
        return 0
    return reads_no_more(sock) | (state != flow.ESTABLISHED) << 1


def _tcp(file: FrozenFile, sock: socket.socket, streams: Streams) -> tuple[str, int]:
    state = flow.info(sock).state
    if state == flow.LISTEN:
        waiting, backlog = accept_queue(sock)
        if waiting > streams.wait_at(sock) + len(streams.gone(file)):
            log.warning("%s: TCP connections not accepted yet are not carried", file.holder)
        return LISTENING, backlog
    if state == flow.SYN_SENT:
        return CONNECTING, 0
    if state != flow.CLOSE:
        return ESTABLISHED, 0
    if flow.has_error(sock) and (failed := how_it_failed(sock)):
        return failed, 0
    return (ENDED if reads_no_more(sock) else UNCONNECTED), 0


# restore


def restore(states: list[State], build: Build) -> None:
    states = _at_others(states, build) if build.ports else states
    if states:
        build.at(Stage.SHARED, forget_all, build)
    streams = [state for state in states if state.stream]
    listeners = [state for state in states if state.status == LISTENING]
    joiner = join.Joiner(streams, listeners, build, _open)
    for state in states:
        if state.let_go:  # a port that others may have
            build.at(Stage.SHARED, _make, state, build, joiner, set[int]())
    build.at(Stage.SHARED, joiner.make)  # before anybody listens: their ports may be the same
    ports = {state.local.port for state in streams if state.local}
    for state in states:
        if state.stream or state.let_go:
            continue
        if build.rehearsal:
            # The original has the port, and the clients: with SO_REUSEPORT we would take some.
            local = state.local and replace(state.local, port=0)
            state = replace(state, local=local, queue=[], refused=False)
        if state.local is not None and not was_given_up(state):
            build.at(Stage.CLAIM, _claim, state, joiner)
        build.at(Stage.SHARED, _make, state, build, joiner, ports)
        if state.status == CONNECTING and not build.rehearsal:
            build.at(Stage.RESUME, ask_again, state, build, joiner)
    build.at(Stage.SHARED, joiner.complete)
    if not build.rehearsal:
        build.at(Stage.SHARED, _refill, states, build)


def _at_others(states: list[State], build: Build) -> list[State]:
    """At the ports that the user wants them to be, both ends of what is within the pod."""
    own = {state.local for state in states}

    def moved(there: Address | None) -> Address | None:
        return there and replace(there, port=build.ports.get(there.port, there.port))

    return [
        replace(
            state,
            local=moved(state.local),
            peer=moved(state.peer) if state.peer in own else state.peer,
        )
        for state in states
    ]


def _claim(state: Socket, joiner: join.Joiner) -> None:
    with _open(state) as sock:
        try:
            bind_it(state, sock)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            can_move = state.status in MOVABLE and joiner.may_move(state, at_last=False)
            if taken and (joiner.build.contended or can_move):
                return  # by our former self, it seems; or it can be another one
            assert state.local is not None
            raise RestoreError(
                f"cannot restore a socket bound to {state.local.shown}",
                stage=Stage.CLAIM.name,
                resource=NAME,
                needed="the address and port, free on this host",
                found=error.strerror or str(error),
                do=f"end what uses port {state.local.port} (ss -anp shows it)",
            ) from error


def _open(state: Socket) -> socket.socket:
    with restoring(NAME, Stage.CLAIM, "a socket"):
        sock = socket.socket(state.family, state.type, state.protocol)
        try:
            _set_up(state, sock)
        except OSError:
            sock.close()
            raise
        return sock


def _set_up(state: Socket, sock: socket.socket) -> None:
    if state.stream:
        join.set_first(sock, state)
    else:
        table = _table(state.type, state.protocol)
        later = ("SO_LOCK_FILTER",) if state.queue else ()
        if not state.queue:  # which is from before the filter, maybe, and would have to pass it
            set_filter(sock, state.filter)
        now = {k: v for k, v in state.options.items() if k in table and k not in later}
        set_options(sock, now, table)
    set_unseen(sock, state.unseen, bound=False)
    for membership in state.memberships:
        join_group(sock, membership)


def _make(state: Socket, build: Build, joiner: join.Joiner, ports: set[int]) -> None:
    """`ports`: where the pod's TCP connections have one end."""
    with restoring(NAME, Stage.SHARED, "an internet socket"), _open(state) as sock:
        again = sock.dup()
        shared = bool(
            state.type == socket.SOCK_STREAM and state.local and state.local.port in ports
        )
        here = partial(place, state, again, joiner, shared=shared)
        at_once, at_last = partial(here, at_last=False), partial(here, at_last=True)
        if state.let_go:
            work = partial(let_go_of, state, again)
            build.or_when_free(partial(work, build.contended), again.close, partial(work, False))
        elif shared and joiner.waits:
            build.at_thaw(at_last, again.close)
        elif not build.or_when_free(at_once, again.close, at_last):
            joiner.late = joiner.late or shared or bool(state.gone)
            lib.zt_pod_show_addresses(build.handle)
        note_again(build, sock.fileno(), state.unseen)
        if state.chosen:
            note_chosen(build, sock.fileno())
        finish(build, state, sock.detach())


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
    senders = Senders({s.local: copies[s.file_id] for s in states if s.local is not None})
    for state in states:
        sock = copies[state.file_id]
        if state.queue:
            refill(sock, state.queue, senders)
            set_filter(sock, state.filter)
            if "SO_LOCK_FILTER" in state.options:
                sock.setsockopt(*UDP["SO_LOCK_FILTER"][:2], 1)
    _close(copies)


def _close(copies: dict[int, socket.socket]) -> None:
    for copy in copies.values():
        copy.close()
