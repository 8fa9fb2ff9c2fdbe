"""What is kept of an internet socket."""

from __future__ import annotations

from dataclasses import dataclass

from ..common.file import Description
from .address import Address
from .backlog import Turn
from .multicast import Membership
from .queue import Datagram
from .stream import Stream
from .unseen import Unseen

NAME = "inet_socket"

LISTENING, ESTABLISHED, ENDED = "listening", "established", "ended"
WAITING, RESET = "waiting", "reset"
CONNECTED, UNCONNECTED = "connected", "unconnected"


@dataclass(frozen=True)
class Socket(Description):
    family: int
    type: int
    protocol: int
    status: str
    """`listening`, `connected` (UDP) or `unconnected`; and of TCP connections `established` (whatever was
    shut down), `waiting` (nobody has accepted it yet), `reset` (it led out of the pod: the next read
    says so) or `ended`."""
    local: Address | None
    peer: Address | None
    backlog: int
    shutdown: int
    """Halves that it has shut down itself: for reading 1, for writing 2."""
    options: dict[str, bytes]
    unseen: list[Unseen]
    filter: bytes
    memberships: list[Membership]
    queue: list[Datagram]
    stream: Stream | None
    turn: Turn | None
