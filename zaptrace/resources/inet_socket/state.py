"""What is kept of an internet socket."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Annotated

from ...shapes import U16, Backlog, Data, OneOf, Range, Word
from ..common.file import Description
from ..common.multicast import Membership
from ..common.options import TCP, UDP_LITE, Options
from ..common.socket import Filter
from .address import Address
from .backlog import Gone, Turn
from .queue import Datagram
from .stream import Stream
from .unseen import Unseen

NAME = "inet_socket"

LISTENING, ESTABLISHED, ENDED = "listening", "established", "ended"
WAITING, RESET, BROKEN = "waiting", "reset", "broken"
CONNECTED, UNCONNECTED, CONNECTING = "connected", "unconnected", "connecting"
_STATUSES = (
    LISTENING, ESTABLISHED, ENDED, WAITING, RESET, BROKEN, CONNECTED, UNCONNECTED, CONNECTING,
)  # fmt: skip


@dataclass(frozen=True)
class Socket(Description):
    family: Annotated[int, OneOf(socket.AF_INET, socket.AF_INET6)]
    type: Annotated[int, OneOf(socket.SOCK_STREAM, socket.SOCK_DGRAM)]
    protocol: U16
    status: Annotated[str, OneOf(*_STATUSES)]
    """`listening`, `connected` (UDP) or `unconnected`; and of TCP connections `established` (whatever was
    shut down), `connecting` (nobody has answered yet), `waiting` (nobody has accepted it yet), `reset` (by
    the other side, or it led out of the pod: the next read says so), `broken` (the same, after the end of
    what was sent: EPIPE) or `ended`."""
    local: Address | None
    peer: Address | None
    backlog: Backlog
    shutdown: Annotated[int, Range(0, 3)]
    """Halves that it has shut down itself: for reading 1, for writing 2."""
    options: Annotated[dict[Word, Data], Options({**TCP, **UDP_LITE})]
    unseen: list[Unseen]
    filter: Filter
    memberships: list[Membership]
    queue: list[Datagram]
    stream: Stream | None
    turn: Turn | None
    refused: bool = False
    """Nobody was there, which it has not read yet; see refused.py."""
    gone: list[Gone] = field(default_factory=list)
    """Who waits to be accepted, and was closed: of one that listens."""
    chosen: bool = False
    """The kernel has chosen the port that it is bound to: another would have done."""
    let_go: bool = False
    """It tells its port still, and has it no more, as of a connection that has failed; see refused.py."""
