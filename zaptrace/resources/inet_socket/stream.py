"""What a pod's TCP connections are, as each end of them sees it.

Both ends are the pod's, or the one that is: then nobody has the other any more, and what it had sent
is still to be read. Before anything is looked at, all that was sent is brought over to who is to read
it (flow.py), the end of a stream too, so that no connection is on its way from one state to the next.
"""

from __future__ import annotations

import contextlib
import select
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..common.file import unsupported
from ..common.socket import borrowed
from . import flow
from .address import Address, Key, address
from .diag import TcpSocket, tcp_sockets
from .flow import Unread

if TYPE_CHECKING:
    from ...errors import UnsupportedResource
    from ...view.frozen import FrozenFile

_WAITING = (flow.ESTABLISHED, flow.CLOSE_WAIT, flow.SYN_RECV, 12)
"""States of an end that nobody has, because nobody has accepted it yet."""
_ON_ITS_WAY = (flow.FIN_WAIT1, flow.CLOSING, flow.LAST_ACK)
_CONNECTED = (flow.ESTABLISHED, flow.FIN_WAIT2, flow.CLOSE_WAIT, *_ON_ITS_WAY)

Ends = tuple[Key, Key]
"""The addresses of a connection: of this end, and of the other."""


@dataclass(frozen=True)
class Stream:
    """Of one end of a connection."""

    unread: Unread
    alone: bool
    """Nobody has the other end any more."""
    largest_segment: int
    """Which it has asked for (TCP_MAXSEG); 0: none in particular."""


def is_connected(state: int) -> bool:
    return state in _CONNECTED


def both_ends(sock: socket.socket) -> tuple[Address, Address] | None:
    """None if the other one is not known, as before a connection and after it."""
    with contextlib.suppress(OSError):
        return address(sock.getsockname()), address(sock.getpeername())
    return None


class Streams:
    """The connections of a frozen pod."""

    def __init__(self, files: list[FrozenFile]) -> None:
        self._files: dict[Ends, FrozenFile] = {}
        self._alone: set[Ends] = set()
        self._host: dict[Ends, TcpSocket] | None = None
        for file in files:
            with borrowed(file.local) as sock:
                if sock.type == socket.SOCK_STREAM and (ends := self._ends(file, sock)):
                    self._files[ends] = file
        for ends, file in self._files.items():
            with borrowed(file.local) as sock:
                self._bring_over(file, sock, ends)
        for file in self._files.values():
            with borrowed(file.local) as sock:
                if not flow.soon(partial(_is_at_rest, sock)):
                    raise _refused(file, sock, "it does not come to rest")

    def _ends(self, file: FrozenFile, sock: socket.socket) -> Ends | None:
        state = flow.info(sock).state
        if state in (flow.CLOSE, flow.LISTEN):
            return None
        if has_error(sock):
            raise unsupported(
                file,
                "is a TCP connection with an error that was not read yet",
                needed="none; to look at it would take it away",
                do="try again once the program has read it",
            )
        both = both_ends(sock)
        if both is None:
            raise _refused(file, sock, "it is being made")
        return both[0].key, both[1].key

    def _bring_over(self, file: FrozenFile, sock: socket.socket, ends: Ends) -> None:
        other = self._files.get(ends[::-1])
        if other is None:
            self._bring_over_alone(file, sock, ends)
            return
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

    def _bring_over_alone(self, file: FrozenFile, sock: socket.socket, ends: Ends) -> None:
        """Nobody has the other end any more: refused if somebody has."""
        other = self._of_host.get(ends[::-1])
        if other is None:
            both = both_ends(sock)
            if both is None or not (both[1].loops_back or both[0].key[0] == both[1].key[0]):
                raise _refused(file, sock, "its other end is on another host")
        elif other.inode:
            held = f"its other end is socket:[{other.inode}], which no process of the pod holds"
            raise _refused(file, sock, held)
        elif other.state in _WAITING:
            raise _refused(
                file,
                sock,
                "nobody has accepted it yet",
                needed="connections that were accepted",
                do="try again once the program has accepted it",
            )
        if not flow.receive_to_the_end(sock):
            raise _refused(file, sock, "its other end was closed, and does not say so")
        self._alone.add(ends)

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

    @property
    def files(self) -> list[FrozenFile]:
        """The sockets that have one."""
        return list(self._files.values())


def _is_at_rest(sock: socket.socket) -> bool:
    return flow.info(sock).state not in _ON_ITS_WAY


def has_error(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def reads_no_more(sock: socket.socket) -> bool:
    """shutdown(2) said so; or the other side has said that it sends no more."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return any(events & select.POLLRDHUP for _, events in poll.poll(0))


def _refused(
    file: FrozenFile, sock: socket.socket, found: str, needed: str = "", do: str = ""
) -> UnsupportedResource:
    ends = [address(sock.getsockname()).shown]
    with contextlib.suppress(OSError):
        ends.append(address(sock.getpeername()).shown)
    state = flow.info(sock).state
    name = flow.STATES[state] if state < len(flow.STATES) else str(state)
    return unsupported(
        file,
        "is a TCP connection",
        needed=needed or "both ends of the connection in the pod",
        found=f"{' to '.join(ends)}, {name}: {found}",
        do=do or "start the other program in the pod too, or end the connection first",
    )
