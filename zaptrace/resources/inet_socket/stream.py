"""What a pod's TCP connections are, as each end of them sees it.

Both ends are the pod's, or the one that is: then nobody has the other any more, and what it had sent
is still to be read. Before anything is looked at, all that was sent is brought over to who is to read
it (flow.py), the end of a stream too, so that no connection is on its way from one state to the next.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ...shapes import U16
from ..common.file import unsupported
from ..common.socket import borrowed
from . import flow
from .address import Address, Key, address
from .backlog import Gone, Turn, has_sent, take_turns
from .diag import TcpSocket, tcp_sockets
from .flow import Unread, accept_queue
from .group import Group, are_a_group

if TYPE_CHECKING:
    from ...errors import UnsupportedResource
    from ...view.frozen import FrozenFile

WAITING = (flow.ESTABLISHED, flow.CLOSE_WAIT, flow.SYN_RECV, 12)
"""States of an end that nobody has, because nobody has accepted it yet."""
_IN_HANDSHAKE = (flow.SYN_RECV, 12)
_TCP_ULP = 31
_ON_ITS_WAY = (flow.FIN_WAIT1, flow.CLOSING, flow.LAST_ACK)
Ends = tuple[Key, Key]
"""The addresses of a connection: of this end, and of the other."""


@dataclass(frozen=True)
class Stream:
    """Of one end of a connection."""

    unread: Unread
    alone: bool
    """Nobody has the other end any more."""
    largest_segment: U16
    """Which it has asked for (TCP_MAXSEG); 0: none in particular."""


def both_ends(sock: socket.socket) -> tuple[Address, Address] | None:
    """None if the other one is not known, as before a connection and after it."""
    with contextlib.suppress(OSError):
        return address(sock.getsockname()), address(sock.getpeername())
    return None


class Streams:
    """The connections of a frozen pod."""

    def __init__(self, files: list[FrozenFile], *, close_outside: bool) -> None:
        """With `close_outside`, those to outside the pod have been reset, in the image."""
        self._close_outside = close_outside
        self._files: dict[Ends, FrozenFile] = {}
        self._outside: set[Ends] = set()
        self._alone: set[Ends] = set()
        self._host: dict[Ends, TcpSocket] | None = None
        self._listeners: list[tuple[Address, FrozenFile]] = []
        self._groups: dict[int, list[int]] = {}
        """Of the number of a listener, of all that have its port."""
        self._turns: dict[Ends, Turn] = {}
        self._gone: dict[int, list[Gone]] = {}
        waiting: dict[int, list[tuple[Ends, FrozenFile]]] = {}
        for file in files:
            with borrowed(file.local) as sock:
                if sock.type == socket.SOCK_STREAM and (ends := self._ends(file, sock)):
                    self._files[ends] = file
        for ends, file in self._files.items():
            with borrowed(file.local) as sock:
                listener = self._bring_over(file, sock, ends)
            if listener is not None:
                waiting.setdefault(listener, []).append((ends, file))
        for number, (at, listener_file) in enumerate(self._listeners):
            if number in self._groups:
                self._take_turns_of_group(self._groups[number], waiting[number])
            elif not any(number in group for group in self._groups.values()):
                self._take_turns(listener_file, at, waiting.get(number, []))
        for ends, file in self._files.items():
            with borrowed(file.local) as sock:
                if ends in self._turns or ends in self._outside:
                    continue
                if not flow.soon(partial(_is_at_rest, sock)):
                    raise _refused(file, sock, "it does not come to rest")

    def _ends(self, file: FrozenFile, sock: socket.socket) -> Ends | None:
        state = flow.info(sock).state
        if state == flow.LISTEN:
            self._listeners.append((address(sock.getsockname()), file))
        if state in (flow.CLOSE, flow.LISTEN):
            return None
        if sock.proto != socket.IPPROTO_TCP:
            raise unsupported(
                file,
                "is a connection of MPTCP",
                needed="one of TCP",
                found=f"{_shown(sock)}: both sides know it as one of MPTCP",
                do="have the client or the listener speak TCP alone (GODEBUG=multipathtcp=0, no mptcpize)",
            )
        if upper := sock.getsockopt(socket.IPPROTO_TCP, _TCP_ULP, 16).rstrip(b"\0").decode():
            raise _refused(file, sock, f"the kernel works on it ({upper})", needed="plain TCP")
        if state == flow.SYN_SENT:
            return None
        both = both_ends(sock)
        if both is None:
            raise _refused(file, sock, "it is being made")
        return both[0].key, both[1].key

    def _bring_over(self, file: FrozenFile, sock: socket.socket, ends: Ends) -> int | None:
        """Which listener has to accept it, if it waits for that."""
        other = self._files.get(ends[::-1])
        if other is None:
            return self._bring_over_alone(file, sock, ends)
        with borrowed(other.local) as peer:
            came = flow.deliver(peer, sock)
        if not came:
            raise _refused(
                file,
                sock,
                "what was sent does not come over",
                needed="room for it with who is to read it",
                do="try again once the program has read some of it",
            )
        return None

    def _bring_over_alone(self, file: FrozenFile, sock: socket.socket, ends: Ends) -> int | None:
        """Nobody has the other end any more: refused if somebody has."""
        other = self._of_host.get(ends[::-1])
        if other is not None and not other.inode and other.state in WAITING:
            listener = self._listener_of(file, sock)
            if listener is not None:
                return listener
            beyond = "nobody has accepted it yet, and who may is not in the pod"
        else:
            beyond = _is_beyond(sock, other)
        if beyond and not self._close_outside:
            raise _refused(file, sock, beyond)
        if beyond:
            self._outside.add(ends)
            return None
        if not flow.receive_to_the_end(sock):
            raise _refused(file, sock, "its other end was closed, and does not say so")
        self._alone.add(ends)
        return None

    def _listener_of(self, file: FrozenFile, sock: socket.socket) -> int | None:
        peer = address(sock.getpeername())
        found = [
            n
            for n, (at, _) in enumerate(self._listeners)
            if at.port == peer.port and (at.key == peer.key or at.is_any)
        ]
        if len(found) > 1 and are_a_group([self._listeners[n][1] for n in found]):
            self._groups[found[0]] = found
        elif len(found) > 1:
            what = f"nobody has accepted it yet, and {len(found)} listeners of the pod may"
            raise _refused(file, sock, what, needed="one listener of the pod's at its address")
        return found[0] if found else None

    def _take_turns(
        self, file: FrozenFile, at: Address, clients: list[tuple[Ends, FrozenFile]]
    ) -> None:
        """Of all that wait at a listener. Those that it is not told of until something is sent to it
        (TCP_DEFER_ACCEPT) are behind the others."""
        deferred = [ends for ends, _ in clients if self._of_host[ends[::-1]].state in _IN_HANDSHAKE]
        clients = [client for client in clients if client[0] not in deferred]
        turns = [Turn(len(clients) + number, flow.NOTHING) for number in range(len(deferred))]
        self._turns.update(zip(deferred, turns, strict=True))
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(borrowed(file.local))
            waiting = accept_queue(listener)[0]
            if not waiting:
                return
            socks = [stack.enter_context(borrowed(client.local)) for _, client in clients]
            sent = any(map(has_sent, socks))
            ours_alone = waiting == len(clients) or not self._has_others(at.port)
            if sent and not ours_alone:
                raise _refused(
                    clients[0][1],
                    socks[0],
                    "nobody has accepted it yet; others wait with it, who are not in the pod",
                    needed="connections that were accepted",
                    do="try again once the program has accepted it",
                )
            if ours_alone and (sent or waiting > 1 or waiting != len(clients)):
                found = take_turns({listener: waiting}, socks)
                taken, self._gone[file.id] = found[listener]
                turns = [taken[sock] for sock in socks]
            else:
                turns = [Turn(number, flow.NOTHING) for number in range(len(socks))]
        self._turns.update(zip((ends for ends, _ in clients), turns, strict=True))

    def _take_turns_of_group(
        self, numbers: list[int], clients: list[tuple[Ends, FrozenFile]]
    ) -> None:
        """Of all that wait at listeners that share a port: where each waits is seen as it is accepted."""
        with contextlib.ExitStack() as stack:
            socks = {stack.enter_context(borrowed(file.local)): ends for ends, file in clients}
            turns: dict[Ends, Turn] = {}
            files = [self._listeners[number][1] for number in numbers]
            own: dict[int, socket.socket] = {
                file.id: socket.socket(fileno=os.dup(file.local)) for file in files
            }
            group = stack.enter_context(contextlib.closing(Group(own)))
            by_sock = {sock: file_id for file_id, sock in own.items()}
            waiting = {sock: count for sock in by_sock if (count := accept_queue(sock)[0])}
            found = take_turns(waiting, [*socks], lambda sock: group.have_come_to(by_sock[sock]))
            for listener, (taken, gone) in found.items():
                file_id = by_sock[listener]
                self._gone[file_id] = [replace(one, listener=file_id) for one in gone]
                for sock, turn in taken.items():
                    turns[socks[sock]] = replace(turn, listener=file_id)
            for sock, ends in socks.items():
                if ends not in turns:
                    raise _refused(
                        self._files[ends],
                        sock,
                        "nobody has accepted it yet, and none of the listeners has it in its queue",
                        needed="one that waits at a listener",
                    )
        self._turns.update(turns)

    def _has_others(self, port: int) -> bool:
        """Does one wait to be accepted there whose other end somebody has, outside the pod?"""
        for (own, other), known in self._of_host.items():
            if own[1] != port or known.inode or known.state not in WAITING:
                continue
            there = self._of_host.get((other, own))
            host, its_port, scope = other
            near = Address(host, its_port, 0, scope).loops_back or other[0] == own[0]
            if (other, own) not in self._files and (not near or (there and there.inode)):
                return True
        return False

    def gone(self, file: FrozenFile) -> list[Gone]:
        """Who waits at a listener, and was closed."""
        return self._gone.get(file.id, [])

    def wait_at(self, listener: socket.socket) -> int:
        """How many of the pod's own wait there."""
        port = listener.getsockname()[1]
        return sum(there[1] == port for _, there in self._turns)

    def turn(self, sock: socket.socket) -> Turn | None:
        """Of one that waits to be accepted."""
        both = both_ends(sock)
        return self._turns.get((both[0].key, both[1].key)) if both else None

    @property
    def _of_host(self) -> dict[Ends, TcpSocket]:
        if self._host is None:
            self._host = tcp_sockets()
        return self._host

    def stream(self, file: FrozenFile, sock: socket.socket) -> Stream:
        """Of a socket whose connection is there, or has ended with something to be read."""
        both = both_ends(sock)
        unread = flow.look(sock)
        if unread is None:
            raise unsupported(
                file,
                "is a TCP connection with an urgent byte that was not read yet",
                needed="Linux 6.9 or later, to look at what comes after it",
                do="try again once the program has read it",
            )
        advertised = flow.info(sock).advertised
        return Stream(
            unread=unread,
            alone=both is None or (both[0].key, both[1].key) in self._alone,
            largest_segment=advertised if advertised <= flow.LARGEST_SEGMENT else 0,
        )

    def is_outside(self, sock: socket.socket) -> bool:
        """Does it lead out of the pod?"""
        both = both_ends(sock)
        return both is not None and (both[0].key, both[1].key) in self._outside

    @property
    def inside(self) -> list[FrozenFile]:
        """The sockets of those that do not."""
        return [file for ends, file in self._files.items() if ends not in self._outside]


def _is_beyond(sock: socket.socket, other: TcpSocket | None) -> str:
    """Where the other end is, that is not in the pod; "" if nobody has it any more."""
    if other is not None:
        held = f"its other end is socket:[{other.inode}], which no process of the pod holds"
        return held if other.inode else ""
    both = both_ends(sock)
    if both and (both[1].loops_back or both[0].key[0] == both[1].key[0]):
        return ""
    return "its other end is on another host"


def _is_at_rest(sock: socket.socket) -> bool:
    return flow.info(sock).state not in _ON_ITS_WAY


def reads_no_more(sock: socket.socket) -> bool:
    """shutdown(2) said so; or the other side has said that it sends no more."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return any(events & select.POLLRDHUP for _, events in poll.poll(0))


def _shown(sock: socket.socket) -> str:
    ends = [address(sock.getsockname()).shown]
    with contextlib.suppress(OSError):
        ends.append(address(sock.getpeername()).shown)
    return " to ".join(ends)


def _refused(
    file: FrozenFile, sock: socket.socket, found: str, needed: str = "", do: str = ""
) -> UnsupportedResource:
    state = flow.info(sock).state
    name = flow.STATES[state] if state < len(flow.STATES) else str(state)
    return unsupported(
        file,
        "is a TCP connection",
        needed=needed or "both ends of the connection in the pod",
        found=f"{_shown(sock)}, {name}: {found}",
        do=do or "start the other program in the pod too, or end the connection first",
    )
