"""What is kept of a unix socket."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from ..common.file import Description
from .queue import Message

NAME = "unix_socket"

# What the lower half notes (csrc/resources/unix_socket.c): by a socket's inode where its path begins,
NOTED = struct.Struct("=Q")
# and that somebody has asked for senders.
SENDERS = b"senders"

LISTENING, CONNECTED, ORPHANED, UNCONNECTED = "listening", "connected", "orphaned", "unconnected"
WAITING = "waiting"


@dataclass(frozen=True)
class Peer:
    """Whom a socket tells as its peer (SO_PEERCRED); `vpid` is 0 for one outside the pod."""

    vpid: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Socket(Description):
    type: int
    ino: int
    status: str
    """`listening`, `connected`, `orphaned` (its peer was closed), `unconnected`, or `waiting`: it has
    connected, and was not accepted yet."""
    peer: int
    """`ino` of the peer where that is in the pod, else 0. Of one that waits, its listener's."""
    told: Peer | None
    told_fd: int
    """A descriptor of it in the process that it tells, or -1."""
    name: bytes
    """A path without its NUL, b"\\0..." if abstract, b"" if it has none."""
    bound: bool
    """It has its name from bind(2); an accepted one has its listener's."""
    directory: bytes
    """Where the path of one that is bound begins; b"" is the root, or not known."""
    place: bytes
    """The name, in the directory of its path, that its file has now; b"" if that was removed."""
    mode: int
    """Of that file."""
    peer_name: bytes
    peer_path: bytes
    """Where one that is outside the pod is to be found; b"" for an abstract one."""
    backlog: int
    clients: list[int]
    """`ino` of those who wait to be accepted, in order."""
    connector: int
    """The process that one who waits will be told to belong to."""
    shutdown: int
    queue: list[Message]
    unread: int
    """What its sending counts as not read yet (SIOCOUTQ): the bytes, and what it costs to keep them."""
    reset: bool
    """The peer was closed before it had read all; the next read says ECONNRESET."""
    options: dict[str, bytes]
    filter: bytes


def shown(name: bytes) -> str:
    """A name in an error."""
    return os.fsdecode(b"@" + name[1:] if name.startswith(b"\0") else name)


def is_path(name: bytes) -> bool:
    return bool(name) and not name.startswith(b"\0")
